"""The request budget."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import ConnectionFailed, RequestTimedOut, ServiceFailed, UnexpectedResponse
from flows.database.engine import create_engine, reading
from flows.monitoring.verdicts.budgets import budget_of
from flows.polling.budget import BudgetExhausted, CreditBudget, period_end, period_start, spent_by
from flows.polling.statistics import Statistics
from flows.polling.storage.credits import note_spent, read_credits, spent_a_day
from tests.asknews.fakes import article, client_of, news

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def budget(engine: AsyncEngine, limit: int) -> CreditBudget:
    return CreditBudget(engine, limit, 1, 0.9, Statistics(), "poll_news", clock=lambda: NOW)


async def used(credit_budget: CreditBudget) -> int:
    async with reading(credit_budget.engine) as connection:
        return (await read_credits(connection, period_start(NOW, credit_budget.billing_day))).used


async def test_a_call_is_settled_with_what_it_really_cost(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    async with credit_budget.spend(10) as receipt:
        assert await used(credit_budget) == 10
        receipt.actual = 7
    assert await used(credit_budget) == 7
    assert (credit_budget.statistics.requests, credit_budget.statistics.credits) == (1, 7)


async def test_a_call_that_was_answered_with_an_error_costs_nothing(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    with pytest.raises(ServiceFailed):
        async with credit_budget.spend(10):
            raise ServiceFailed("500", status=500)
    assert await used(credit_budget) == 0
    assert credit_budget.statistics.uncertain_credits == 0


@pytest.mark.parametrize(("usage", "booked", "uncertain"), [({"credits": 3}, 3, 0), ({}, 0, 10)])
async def test_a_refused_answer_costs_what_it_says(
    sqlite_database: AsyncEngine, usage: dict[str, int], booked: int, uncertain: int
) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=news(*[article(pub_date="?")] * 5) | {"usage": usage})

    credit_budget = budget(sqlite_database, 1_000)
    async with client_of(answer) as client:
        with pytest.raises(UnexpectedResponse):
            async with credit_budget.spend(10):
                await client.search_news(names=["Claude"], start=NOW, end=NOW, page_size=10)
    statistics = credit_budget.statistics
    assert (statistics.credits, statistics.uncertain_credits) == (booked, uncertain)


async def test_a_call_that_never_reached_asknews_costs_nothing(database: AsyncEngine) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Name or service not known")

    credit_budget = budget(database, 100)
    async with client_of(answer) as client:
        with pytest.raises(ConnectionFailed):
            async with credit_budget.spend(10):
                await client.search_news(names=["Claude"], start=NOW, end=NOW, page_size=10)
    assert await used(credit_budget) == 0
    assert (credit_budget.statistics.requests, credit_budget.statistics.credits) == (1, 0)
    assert credit_budget.statistics.uncertain_credits == 0


async def test_what_may_have_been_charged_is_booked_apart_and_bounded(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    for _ in range(4):
        with pytest.raises(RequestTimedOut):
            async with credit_budget.spend(10):
                raise RequestTimedOut("no answer")
    async with reading(database) as connection:
        details = await credit_budget.as_details(connection)
    assert (details["used"], details["uncertain"]) == (0, 40)
    async with credit_budget.spend(95):
        pass
    with pytest.raises(BudgetExhausted):
        async with credit_budget.spend(1):
            pass


async def test_the_dear_job_leaves_what_the_cheap_one_will_need(database: AsyncEngine) -> None:
    dear = replace(budget(database, 100), job_name="poll_stories", keeps_for="poll_news")
    for _ in range(5):
        async with dear.spend(10):
            pass
    with pytest.raises(BudgetExhausted, match="but for the 50 that are kept for poll_news"):
        async with dear.spend(10):
            pass
    async with budget(database, 100).spend(50):
        pass


async def test_the_dear_job_leaves_what_the_cheap_one_spends_a_day(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await note_spent(connection, NOW.date() - timedelta(days=3), "poll_news", 31)
    dear = replace(budget(database, 1_000), job_name="poll_stories", keeps_for="poll_news")
    with pytest.raises(BudgetExhausted, match="but for the 83 that are kept"):
        async with dear.spend(918):
            pass
    async with dear.spend(917):
        pass


async def test_what_a_job_spends_is_counted_by_the_day(database: AsyncEngine) -> None:
    async with budget(database, 100).spend(10) as receipt:
        receipt.actual = 7
    tomorrow = NOW.date() + timedelta(days=1)
    async with reading(database) as connection:
        spent = [await spent_a_day(connection, tomorrow, job_name) for job_name in ("poll_news", "poll_stories")]
    assert spent == [7, 0]


@pytest.mark.parametrize(
    ("left", "rate", "day"),
    [
        (60, 60, "24"),
        (90, 60, "24"),
        (479, 60, "30"),
        (480, 60, None),
        (4, 1, "27"),
        (0, 1, "23"),
        (-5, 60, "23"),
        (60, 0, None),
    ],
)
def test_the_budget_is_spent_on_the_day_that_its_rate_says(left: int, rate: float, day: str | None) -> None:
    assert spent_by(left, rate, NOW, billing_day=1) == (day and date.fromisoformat(f"2026-11-{day}"))


async def test_the_budget_tells_when_it_will_be_spent(database: AsyncEngine) -> None:
    today = NOW.date()
    async with database.begin() as connection:
        await note_spent(connection, today - timedelta(days=2), "poll_news", 60)
        await note_spent(connection, today - timedelta(days=1), "poll_news", 60)
    async with budget(database, 1_000).spend(100):
        pass
    async with reading(database) as connection:
        spent_by = [(await budget(database, limit).as_details(connection))["spent_by"] for limit in (130, 10_000)]
    assert spent_by == [str(today), None]


async def test_two_workers_never_exceed_the_limit_retries_included(database_url: str) -> None:
    engines = [create_engine(database_url), create_engine(database_url)]
    granted = 0

    async def worker(engine: AsyncEngine) -> None:
        nonlocal granted
        for _attempt in range(12):
            with suppress(BudgetExhausted):
                async with budget(engine, 55).spend(5):
                    granted += 1

    try:
        await asyncio.gather(*(worker(engine) for engine in engines))
        assert granted == 11
        assert await used(budget(engines[0], 55)) == 55
    finally:
        for engine in engines:
            await engine.dispose()


async def test_near_the_limit_the_budget_is_tight(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    async with credit_budget.spend(89):
        assert not await credit_budget.is_tight()
    async with credit_budget.spend(1):
        assert await credit_budget.is_tight()


@pytest.mark.parametrize(
    ("day", "billing_day", "start"),
    [
        ("2026-09-07", 1, "2026-09-01"),
        ("2026-09-07", 7, "2026-09-07"),
        ("2026-09-07", 8, "2026-08-08"),
        ("2026-01-02", 15, "2025-12-15"),
    ],
)
def test_the_billing_period_began_on_the_last_billing_day(day: str, billing_day: int, start: str) -> None:
    assert str(period_start(datetime.fromisoformat(f"{day}T00:30:00+00:00"), billing_day)) == start


@pytest.mark.parametrize(
    ("day", "billing_day", "end"),
    [("2026-12-01", 1, "2027-01-01"), ("2027-02-28", 28, "2027-03-28"), ("2027-02-27", 28, "2027-02-28")],
)
def test_the_billing_period_ends_on_the_next_billing_day(day: str, billing_day: int, end: str) -> None:
    assert str(period_end(datetime.fromisoformat(f"{day}T00:30:00+00:00"), billing_day)) == end


async def test_a_job_reports_the_budget_in_the_monitorings_terms(database: AsyncEngine) -> None:
    credit_budget = budget(database, limit=10)
    async with credit_budget.spend(4) as receipt:
        receipt.actual = 4
    async with reading(database) as connection:
        reported = budget_of({"budget": await credit_budget.as_details(connection)})
    assert reported is not None
    assert (reported.name, reported.used, reported.limit) == ("AskNews credits", 4, 10)
