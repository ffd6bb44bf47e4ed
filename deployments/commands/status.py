"""`vibecheck status`: the verdicts of the health endpoint in the terminal, read from the database alone."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.names import Name
from deployments.failures import which_database
from deployments.parameters import GivenSettings
from flows.database.engine import DatabaseUnavailable, database_shown, opened_engine, reading
from flows.logs import configure_logging, redact
from flows.monitoring.alarms.audience import Audience, read_audience
from flows.monitoring.alarms.notices import error_text
from flows.monitoring.alarms.refusals import explain_refusals
from flows.monitoring.alarms.silences import explain_silence
from flows.monitoring.verdicts.report import JobReport, Report, read_report
from flows.monitoring.verdicts.wording import clock, duration, explain_all, explain_job, explain_warning
from flows.monitoring.vocabulary import Verdict
from flows.monitoring.web.documents import document_of, unavailable_document
from flows.settings import Settings

HEALTHY, UNHEALTHY, CANNOT_TELL = 0, 1, 2
WATCH_SECONDS = 2.0
# A driver waits longer, and Ctrl-C would wait with it.
LOOK_SECONDS = 10.0
LONGEST_ERROR = 300
# More than that scroll what is wrong out of sight.
MOST_JOBS = 30

_COLOURS = {
    Verdict.HEALTHY: "green",
    Verdict.UNHEALTHY: "red",
    Verdict.NOT_STARTED: "blue",
    Verdict.PAUSED: "bright_black",
}
_MARKS = {Verdict.HEALTHY: "✓", Verdict.UNHEALTHY: "✗", Verdict.NOT_STARTED: "…", Verdict.PAUSED: "‖"}


class CannotTell(Exception):
    """The database cannot be read; the text says why, and what to do."""


async def run_status(
    *,
    as_json: Annotated[
        bool,
        Parameter(
            name="--json", help="Print the document of `GET /health/scheduler`; with --watch a line for each look."
        ),
    ] = False,
    watch: Annotated[bool, Parameter(help="Look again every 2 seconds, until Ctrl-C.")] = False,
    settings: GivenSettings,
) -> int:
    """Say whether the jobs do what is expected. Exit code 0: all healthy; 1: not; 2: could not tell."""
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    try:
        # A file may be restored while it is watched.
        async with opened_engine(settings, keep_files_open=False) as engine:
            if watch:
                return await _watch(engine, settings, console, as_json=as_json)
            seen = await look(engine, settings)
    except DatabaseUnavailable as error:
        seen = CannotTell(which_database(error))
    _print(console, seen, as_json=as_json, indent=2)
    return _exit_code(seen)


async def _watch(engine: AsyncEngine, settings: Settings, console: Console, *, as_json: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # On a terminal one table that changes in place; elsewhere one after the other.
    in_place = console.is_terminal and not as_json
    with Live(console=console, auto_refresh=False) if in_place else nullcontext() as live:
        while True:
            seen = await look(engine, settings)
            if live is None:
                _print(console, seen, as_json=as_json, indent=None)
            else:
                live.update(render(seen), refresh=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WATCH_SECONDS)
            if stop.is_set():
                return _exit_code(seen)


@dataclass(frozen=True)
class Seen:
    """The report, and who is told of it."""

    report: Report
    audience: Audience


async def look(engine: AsyncEngine, settings: Settings) -> Seen | CannotTell:
    """Read the report, within 10 seconds; or return why it cannot be told."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), reading(engine) as connection:
            return Seen(await read_report(connection, settings), await read_audience(connection))
    except TimeoutError:
        return CannotTell(f"The database {database_shown(settings)} has not answered for {LOOK_SECONDS:g} s.")
    except DatabaseUnavailable as error:
        return CannotTell(which_database(error))
    except SQLAlchemyError as error:
        if settings.database_url is None and settings.database_block is None:
            return CannotTell(
                f"Nothing has run here yet: the embedded database {database_shown(settings)} is empty. `make up` "
                "starts everything; VIBECHECK_DATABASE_URL names a database of your own."
            )
        return CannotTell(
            f"The database {database_shown(settings)} cannot be read ({type(error).__name__}). Is it the right one "
            "(VIBECHECK_DATABASE_URL)? Was it never migrated? `vibecheck apply` does that."
        )


def _exit_code(seen: Seen | CannotTell) -> int:
    if isinstance(seen, CannotTell):
        return CANNOT_TELL
    return HEALTHY if seen.report.overall.verdict == Verdict.HEALTHY else UNHEALTHY


def _print(console: Console, seen: Seen | CannotTell, *, as_json: bool, indent: int | None) -> None:
    if as_json:
        document = (
            unavailable_document(str(seen)) if isinstance(seen, CannotTell) else document_of(seen.report, seen.audience)
        )
        print(document.model_dump_json(indent=indent), flush=True)  # noqa: T201  # the command's result
    else:
        console.print(render(seen))


def render(seen: Seen | CannotTell) -> RenderableType:
    """Render what the terminal shows."""
    if isinstance(seen, CannotTell):
        return Text.assemble(("Cannot tell: ", "red bold"), str(seen))
    report = seen.report
    parts: list[RenderableType] = [Text(note, style="bold reverse yellow") for note in report.data_notes]
    parts.append(_headline(report))
    if refusals := explain_refusals(seen.audience.refusals, report.at):
        parts.append(Text(refusals, style="red"))
    shown = _shown(report)
    if shown:
        parts.append(_table(shown, report))
    # What is wrong comes first: a terminal that is too low shows the beginning.
    for job in report.by_concern()[: len(shown)]:
        parts += filter(None, [_why(job, seen), _error(job, report)])
    if rest := len(report.jobs) - len(shown):
        parts.append(Text(f"And {rest:,} more jobs, of which the status page and --json tell.", style="bright_black"))
    parts += [
        Text(
            f"{budget.name}: {budget.used:,} of {budget.limit:,} since {budget.since}. {budget.forecast}".rstrip(),
            style="bright_black",
        )
        for budget in report.budgets
    ]
    parts += [
        Text(f"{measure.name}: {measure.text}", style="bright_black")
        for job in report.jobs.values()
        for measure in job.measures
    ]
    return Group(*parts)


def _headline(report: Report) -> Text:
    status = report.overall.verdict
    return Text.assemble(
        (f"{_MARKS[status]} {explain_all(report)}", f"bold {_COLOURS[status]}"),
        (f"  ({report.at:%Y-%m-%d} {clock(report.at, report.at, with_seconds=True)})", "bright_black"),
    )


def _shown(report: Report) -> Sequence[JobReport]:
    """All jobs by their names; of many, the first by what is wrong with them."""
    return list(report.jobs.values()) if len(report.jobs) <= MOST_JOBS else report.by_concern()[:MOST_JOBS]


def _table(jobs: Sequence[JobReport], report: Report) -> Table:
    table = Table("job", "verdict", "last run", "next run")
    for job in jobs:
        status = job.judgement.verdict
        table.add_row(
            Name(job.expected.name),
            Text(f"{_MARKS[status]} {status.replace('_', ' ')}", style=_COLOURS[status]),
            _last_run(job, report),
            _next_run(job, report),
        )
    return table


def _why(job: JobReport, seen: Seen) -> Text:
    """A paragraph below the table, which so has room for whole names at 80 columns."""
    name = job.expected.name
    why = Text.assemble((name, "bold"), f": {explain_job(job, seen.report.at)}")
    for warning in job.judgement.warnings:
        why.append(f" Warning: {explain_warning(warning, job)}", style="yellow")
    if silence := seen.audience.silence_of(name):
        why.append(f" {explain_silence(silence, seen.report.at)}", style="bright_black")
    return why


def _last_run(job: JobReport, report: Report) -> Text:
    if job.last_run is None:
        return Text("never")
    text = Text(clock(job.last_run.started_at, report.at))
    return text.append(f"\n{job.last_run.status.replace('_', ' ')}", style="bright_black")


def _next_run(job: JobReport, report: Report) -> Text:
    tick = job.next_tick
    if tick is None:
        return Text("-")
    ahead = (tick - report.at).total_seconds()
    words = f"in {duration(ahead)}" if ahead > 0 else f"due for {duration(-ahead)}"
    return Text(clock(tick, report.at)).append(f"\n{words}", style="bright_black")


def _error(job: JobReport, report: Report) -> Text | None:
    failure = job.last_failure
    if failure is None or not failure.error_message:
        return None
    message = error_text(str(redact(failure.error_message)))
    shown = message if len(message) <= LONGEST_ERROR else message[: LONGEST_ERROR - 1] + "…"
    return Text.assemble((f"{job.expected.name}: last error, {clock(failure.completed_at, report.at)}: ", "red"), shown)
