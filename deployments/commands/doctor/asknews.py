"""AskNews: whether it takes the credentials, what the account may do, and, on demand, what it really answers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from deployments.commands.doctor.checks import Check, Finding, Mark, sentence
from deployments.commands.doctor.database import existing_database, only_watches
from deployments.commands.doctor.news_contract import deviations
from flows.asknews import AskNewsError, RetryableError, client_from_settings
from flows.asknews.client import credits_of
from flows.asknews.endpoints import api_endpoint
from flows.database.engine import DATABASE_ERRORS
from flows.entities import load_tracked, search_names
from flows.polling.budget import NEWS_CREDITS, BudgetExhausted, CreditBudget
from flows.polling.secret_block import api_key_from_block
from flows.polling.statistics import Statistics
from flows.settings import IS_CHECKOUT, Settings

SUBJECT = "AskNews"
# What each plan allows (doc): requests a second, and at once. An account's limits do not name its plan.
PLANS = {(1, 5): "Spelunker", (5, 10): "Analyst"}
# The most that may be asked for, and as long ago as costs one credit (with a margin).
MOST_ARTICLES = 101
WINDOW = timedelta(hours=47)


def asknews_checks(settings: Settings, *, spend: bool) -> list[Check]:
    """Return the checks of AskNews; with `spend` one of them makes a request of one credit."""
    seconds = settings.request_timeout_seconds + 10.0
    checks = [Check(SUBJECT, partial(look_at_account, settings), seconds)]
    return [*checks, Check("news", partial(look_at_news, settings), seconds)] if spend else checks


async def look_at_account(settings: Settings) -> Sequence[Finding]:
    """Look whether the credentials are accepted, and what the account allows. It costs nothing."""
    login = _login(settings)
    if login is None:
        if not IS_CHECKOUT or await only_watches(settings):
            return []
        text = "No key is set: `vibecheck up` uses the sandbox, whose news is made up."
        return [Finding(SUBJECT, Mark.WARNING, text, "Put ASKNEWS_API_KEY into .env to poll the real API.")]
    try:
        async with client_from_settings(settings, api_key=await api_key_from_block(settings)) as client:
            limits = await client.limits()
    except AskNewsError as error:
        return [_failure(SUBJECT, error)]
    where = api_endpoint(settings.asknews_api_url).address
    found = [Finding(SUBJECT, Mark.WELL, f"{where} accepts {login}{_allowance(limits)}.")]
    rate = _number(limits, "request_rate")
    if rate is not None and settings.requests_per_second > rate:
        text = f"Up to {settings.requests_per_second:g} requests a second are made, and the account allows {rate:g}."
        found.append(Finding(SUBJECT, Mark.WARNING, text, f"Set VIBECHECK_REQUESTS_PER_SECOND to {rate:g}."))
    return found


async def look_at_news(settings: Settings) -> Sequence[Finding]:
    """Make one news request, of one credit, and say how long a page is and where the answer is not as documented.

    The credit is booked in the budget: without the database that keeps it, no request is made.
    """
    subject = "news"
    try:
        answer, credits = await _paid_search(settings)
    except AskNewsError as error:
        return [_failure(subject, error)]
    except BudgetExhausted as error:
        return [Finding(subject, Mark.WARNING, f"No request was made: {error}")]
    except DATABASE_ERRORS:
        text = "No request was made, as the database that counts the credits cannot be used."
        return [Finding(subject, Mark.FAILURE, text, "See what is said of the database.")]
    articles = answer.get("as_dicts")
    count = len(cast("list[object]", articles)) if isinstance(articles, list) else 0
    cap = f"so a page holds {count} at most" if 0 < count < MOST_ARTICLES else "so there is no cap below that"
    if count:
        text = f"Of {MOST_ARTICLES} articles that were asked for {count} came, {cap}; credits used: {credits}."
        found = [Finding(subject, Mark.WELL, text)]
    else:
        to_do = "See that flows/entities/tracked.toml names what the news writes about."
        found = [Finding(subject, Mark.WARNING, "No article of two days mentions what is tracked.", to_do)]
    odd = deviations(answer)
    if not odd:
        return [*found, Finding("news contract", Mark.WELL, "Every field is as documented.")]
    return found + [Finding("news contract", Mark.WARNING, problem) for problem in odd]


async def _paid_search(settings: Settings) -> tuple[Mapping[str, object], int | None]:
    """Return the answer, and what it cost, None if it does not say. Raises as the budget, client and database do."""
    now = datetime.now(UTC)
    async with (
        client_from_settings(settings, api_key=await api_key_from_block(settings)) as client,
        existing_database(settings) as engine,
    ):
        budget = CreditBudget(
            engine, settings.monthly_credits, settings.billing_day, settings.budget_soft_ratio, Statistics(), "doctor"
        )
        async with budget.spend(NEWS_CREDITS) as receipt:
            answer = await client.search_news_json(
                names=search_names(load_tracked()), start=now - WINDOW, end=now, page_size=MOST_ARTICLES
            )
            receipt.actual = credits_of(answer.get("usage"))
        return answer, receipt.actual


def _login(settings: Settings) -> str | None:
    """Return what is logged in with, in the order in which the polls choose; None if nothing is set."""
    if settings.asknews_api_key is not None:
        return "ASKNEWS_API_KEY"
    if settings.asknews_secret_block is not None:
        return f"the key in the Secret block {settings.asknews_secret_block}"
    if settings.asknews_client_id is not None or settings.asknews_client_secret is not None:
        return "ASKNEWS_CLIENT_ID with its secret"
    return None


def _failure(subject: str, error: AskNewsError) -> Finding:
    to_do = "Try again later, or see https://status.asknews.app." if isinstance(error, RetryableError) else ""
    return Finding(subject, Mark.FAILURE, sentence(str(error)), to_do)


def _allowance(limits: Mapping[str, object]) -> str:
    """Say what the account allows, and on which plan that is so."""
    rate, at_once = _number(limits, "request_rate"), _number(limits, "concurrency_limit")
    if rate is None or at_once is None:
        return "; its limits are not told as documented"
    plan = PLANS.get((round(rate), round(at_once)))
    told = f", as on the plan {plan}" if plan else ", as on no plan that is documented"
    return f": {rate:g} requests a second, {at_once:g} at once{told}"


def _number(limits: Mapping[str, object], name: str) -> float | None:
    value = limits.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
