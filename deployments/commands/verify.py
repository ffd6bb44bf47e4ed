"""`vibecheck verify`: what happened to each tick, for people and as JSON."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import httpx
from prefect import get_client
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.markup import escape

from deployments.server.settings import NoServer, require_server
from flows.database.engine import DatabaseUnavailable, database_shown, opened_engine
from flows.database.migrate import revision_of
from flows.logs import configure_logging
from flows.monitoring.verify.accounts import Account, JobAccount
from flows.monitoring.verify.verification import Verification, verify
from flows.monitoring.vocabulary import Status
from flows.settings import Settings

COMPLETE, INCOMPLETE, COULD_NOT_TELL = 0, 1, 2
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_COLOURS = {
    Status.SUCCESS: "green",
    Status.RUNNING: "cyan",
    "pending": "cyan",
    Status.PARTIAL_FAILURE: "yellow",
    Status.SKIPPED: "yellow",
    Status.CANCELLED: "yellow",
}


class CouldNotTell(Exception):
    """The question cannot be answered; the text says why, and what to do."""


async def run_verify(settings: Settings, *, since: str, until: str | None, grace_seconds: float, as_json: bool) -> int:
    """Verify and print. Return the exit code: 0 if the log is complete, 1 if it is not, 2 if that could not be told."""
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    try:
        verification = await _verify(settings, since, until, grace_seconds)
    except CouldNotTell as error:
        if as_json:
            print(json.dumps({"complete": None, "error": str(error)}))  # noqa: T201  # the command's result
        else:
            console.print(f"[red]Could not tell:[/] {escape(str(error))}")
        return COULD_NOT_TELL
    if as_json:
        print(json.dumps(verification.as_json(), default=_plain, indent=2))  # noqa: T201  # the command's result
    else:
        for line in timeline(verification):
            console.print(line, soft_wrap=True)
    return COMPLETE if verification.is_complete else INCOMPLETE


async def _verify(settings: Settings, since: str, until: str | None, grace_seconds: float) -> Verification:
    try:
        require_server()
    except NoServer as error:
        raise CouldNotTell(str(error)) from None
    now = datetime.now(UTC)
    begin, end = moment(since, now), None if until is None else moment(until, now)
    try:
        async with opened_engine(settings) as engine:
            if await revision_of(engine) is None:
                raise CouldNotTell(
                    f"the database {database_shown(settings)} has no tables. Is it the right one "
                    "(VIBECHECK_DATABASE_URL)? `vibecheck apply` makes them."
                )
            async with get_client() as client:
                verification = await verify(
                    client,
                    engine,
                    since=begin,
                    until=end,
                    grace=timedelta(seconds=grace_seconds),
                    retention_days=settings.retention_days,
                )
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise CouldNotTell(f"the Prefect server could not be asked: {type(error).__name__}: {error}") from None
    except DatabaseUnavailable as error:
        raise CouldNotTell(str(error)) from None
    if not verification.jobs:
        raise CouldNotTell("no deployment is tagged `monitored`, and none was: `vibecheck apply` deploys the jobs.")
    return verification


def moment(text: str, now: datetime) -> datetime:
    """The time that `text` means: a duration before `now` (`90m`, `24h`, `1d12h`), or ISO 8601 (UTC without an offset).

    Raises CouldNotTell for anything else.
    """
    try:
        if _DURATION.fullmatch(text):
            parts = re.findall(r"(\d+)([smhdw])", text)
            return now - sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except ValueError:
        raise CouldNotTell(f"{text!r} is not a time: give a duration such as 24h, or 2026-11-23T12:00.") from None
    except OverflowError:
        raise CouldNotTell(f"{text!r} is further away than the calendar goes.") from None


def timeline(verification: Verification) -> Iterator[str]:
    """The verification as lines of rich markup: for each job its ticks, those that are alike in one line."""
    many_days = verification.since.date() != verification.until.date()
    clock = "%m-%d %H:%M:%S" if many_days else "%H:%M:%S"
    yield f"Ticks from {verification.since:%Y-%m-%d %H:%M:%S} to {verification.until:%Y-%m-%d %H:%M:%S} UTC"
    for job in verification.jobs:
        counts = Counter(account.what for account in job.ticks)
        yield ""
        summary = ", ".join(f"{count} {what}" for what, count in counts.most_common()) or "none was due"
        ticks = "1 tick" if len(job.ticks) == 1 else f"{len(job.ticks)} ticks"
        yield f"[bold]{escape(job.job_name)}[/]: {ticks}: {summary}"
        yield from _lines(job.ticks, clock)
        yield from _section("runs that no schedule asked for", job.extra_runs, clock)
        yield from _section("further runs and rows for a tick that has one", job.doubles, clock)
        for text in job.unseen:
            yield f"  [dim]not seen: {escape(text)}[/]"
    for text in verification.unseen:
        yield f"[dim]not seen: {escape(text)}[/]"
    yield ""
    yield from _verdict(verification.jobs)


def _verdict(jobs: Sequence[JobAccount]) -> Iterator[str]:
    problems = [(job.job_name, account) for job in jobs for account in job.problems()]
    if not problems:
        yield "[green]Complete:[/] every tick and every run is accounted for."
        return
    yield f"[red]Not complete:[/] {len(problems)} not accounted for."
    for job_name, account in problems:
        run = f" (run {account.execution_id})" if account.execution_id else ""
        yield f"  {escape(job_name)} {account.at.isoformat()}{run}: {escape(account.problem or '')}"


def _section(title: str, accounts: Sequence[Account], clock: str) -> Iterator[str]:
    if accounts:
        yield f"  {title}: {len(accounts)}"
        yield from (f"  {line}" for line in _lines(accounts, clock))


def _lines(accounts: Sequence[Account], clock: str) -> Iterator[str]:
    for (what, about), group in groupby(accounts, key=lambda account: (account.what, _about(account))):
        alike = list(group)
        first, last = alike[0].at.strftime(clock), alike[-1].at.strftime(clock)
        times = first if len(alike) == 1 else f"{first} … {last}"
        colour = _COLOURS.get(what, "red")
        shown = f"[{colour}]{what}[/]" + (f"{'':<{15 - len(what)}} {escape(about)}" if about else "")
        yield f"  {times:<33} {len(alike):>5}  {shown}"


def _about(account: Account) -> str:
    """What a line says besides the class; ticks whose lines would be the same share one."""
    return ", ".join(_remarks(account))


def _remarks(account: Account) -> Iterable[str]:
    if account.reason:
        yield account.reason
    # A scheduled run is always a little late; what counts is a run that waited.
    if account.late_seconds is not None and account.late_seconds >= 60:
        yield f"{account.late_seconds:.0f} s late"
    if account.closed_by == "reconciler":
        yield "closed by the reconciler"
    if account.note:
        yield account.note
    if account.problem:
        yield account.problem


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
