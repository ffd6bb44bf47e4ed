"""`vibecheck verify`: what happened to each tick, for people and as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Annotated

from cyclopts import Parameter
from prefect import get_client
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from deployments.failures import CommandFailed, failing_in_words
from deployments.parameters import Duration, GivenSettings, Moment, moment
from deployments.server.environments import require_server
from flows.database.engine import database_shown, opened_engine
from flows.database.migrate import revision_of
from flows.logs import configure_logging
from flows.monitoring.verify.accounts import Account, JobAccount
from flows.monitoring.verify.verification import Verification, verify
from flows.monitoring.vocabulary import Status, Writer
from flows.settings import Settings

COMPLETE, INCOMPLETE, COULD_NOT_TELL = 0, 1, 2
_INDENT = "    "
_COLOURS = {
    Status.SUCCESS: "green",
    Status.RUNNING: "cyan",
    "pending": "cyan",
    Status.PARTIAL_FAILURE: "yellow",
    Status.SKIPPED: "yellow",
    Status.CANCELLED: "yellow",
}


async def run_verify(
    *,
    since: Annotated[
        Moment, Parameter(help="From when on: a duration before now (90m, 24h, 7d) or an ISO time.")
    ] = timedelta(hours=24),
    until: Annotated[Moment | None, Parameter(help="Until when; default: now.")] = None,
    grace: Annotated[Duration, Parameter(help="For how long what is young may still be open.")] = timedelta(minutes=10),
    as_json: Annotated[bool, Parameter(name="--json", help="Print every tick as JSON.")] = False,
    settings: GivenSettings,
) -> int:
    """Say what happened to each tick of each job. Exit code 0: all accounted for; 1: not; 2: could not tell."""
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    try:
        with failing_in_words():
            verification = await _verify(settings, since, until, grace)
    except CommandFailed as error:
        if not as_json:
            raise CommandFailed(str(error), exit_code=COULD_NOT_TELL) from error
        print(json.dumps({"complete": None, "error": str(error)}))  # noqa: T201  # the command's result
        return COULD_NOT_TELL
    if as_json:
        print(json.dumps(verification.as_json(), default=_plain, indent=2))  # noqa: T201  # the command's result
    else:
        for line in timeline(verification, settings.zone()):
            print_line(console, line)
    return COMPLETE if verification.is_complete else INCOMPLETE


async def _verify(
    settings: Settings, since: timedelta | datetime, until: timedelta | datetime | None, grace: timedelta
) -> Verification:
    require_server()
    now = datetime.now(settings.zone())
    begin, end = moment(since, now), None if until is None else moment(until, now)
    async with opened_engine(settings) as engine:
        if await revision_of(engine) is None:
            raise CommandFailed(
                f"The database {database_shown(settings)} has no tables. Is it the right one "
                "(VIBECHECK_DATABASE_URL)? `vibecheck apply` makes them."
            )
        async with get_client() as client:
            verification = await verify(
                client,
                engine,
                since=begin,
                until=end,
                grace=grace,
                retention_days=settings.retention_days,
                zone=settings.zone(),
            )
    if not verification.jobs:
        raise CommandFailed("No deployment is tagged `monitored`, and none was: `vibecheck apply` deploys the jobs.")
    return verification


def print_line(console: Console, line: str) -> None:
    """Print a line: whole words in a terminal's width, further lines indented; a file gets it as it is."""
    if not console.is_terminal:
        console.print(line, soft_wrap=True)
        return
    parts = Text.from_markup(line).wrap(console, console.width - len(_INDENT))
    for number, part in enumerate(parts):
        part.rstrip()
        console.print(Text(_INDENT if number else "").append_text(part))


def timeline(verification: Verification, zone: tzinfo = UTC) -> Iterator[str]:
    """Yield the verification as lines of rich markup: for each job its ticks, those that are alike in one line."""
    since, until = verification.since.astimezone(zone), verification.until.astimezone(zone)
    clock = _Clock("%H:%M:%S" if since.date() == until.date() else "%m-%d %H:%M:%S", zone)
    yield f"Ticks from {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S %Z}"
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
    yield from _verdict(verification.jobs, zone)


@dataclass(frozen=True)
class _Clock:
    """Tells times as they stand on a person's clock, with its timezone."""

    form: str
    zone: tzinfo

    def tell(self, first: datetime, last: datetime) -> str:
        """Tell both, or the one time that they are."""
        begin, end = first.astimezone(self.zone), last.astimezone(self.zone)
        return (f"{begin:{self.form}} … " if first != last else "") + f"{end:{self.form} %Z}"


def _verdict(jobs: Sequence[JobAccount], zone: tzinfo) -> Iterator[str]:
    problems = [(job.job_name, account) for job in jobs for account in job.problems()]
    if not problems:
        yield "[green]Complete:[/] every tick and every run is accounted for."
        return
    yield f"[red]Not complete:[/] {len(problems)} not accounted for."
    for job_name, account in problems:
        run = f" (run {account.execution_id})" if account.execution_id else ""
        yield f"  {escape(job_name)} {account.at.astimezone(zone).isoformat()}{run}: {escape(account.problem or '')}"


def _section(title: str, accounts: Sequence[Account], clock: _Clock) -> Iterator[str]:
    if accounts:
        yield f"  {title}: {len(accounts)}"
        yield from (f"  {line}" for line in _lines(accounts, clock))


def _lines(accounts: Sequence[Account], clock: _Clock) -> Iterator[str]:
    for (what, about), group in groupby(accounts, key=lambda account: (account.what, _about(account))):
        alike = list(group)
        times = clock.tell(alike[0].at, alike[-1].at)
        colour = _COLOURS.get(what, "red")
        shown = f"[{colour}]{what}[/]" + (f"{'':<{15 - len(what)}} {escape(about)}" if about else "")
        yield f"  {times:<37} {len(alike):>5}  {shown}"


def _about(account: Account) -> str:
    """What a line says besides the class; ticks whose lines would be the same share one."""
    return ", ".join(_remarks(account))


def _remarks(account: Account) -> Iterable[str]:
    if account.reason:
        yield account.reason
    # A scheduled run is always a little late; what counts is a run that waited.
    if account.late_seconds is not None and account.late_seconds >= 60:
        yield f"{account.late_seconds:.0f} s late"
    if account.closed_by == Writer.RECONCILER:
        yield "closed by the reconciler"
    if account.note:
        yield account.note
    if account.problem:
        yield account.problem


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
