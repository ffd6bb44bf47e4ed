"""What `vibecheck up` shows while it runs: one line for each job, with its last run."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.processes import Child, Children
from flows.database.engine import DatabaseUnavailable, engine_from_settings, reading
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.jobs.schedules import schedule_in_words
from flows.monitoring.log.rows import LogRow, latest_runs
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.vocabulary import Status
from flows.settings import Settings

REFRESH_SECONDS = 2.0
# By itself Prefect's client asks a server that does not answer for a minute, and Ctrl-C would wait for it.
LOOK_SECONDS = 10.0
_COLOURS: dict[str, str] = {
    Status.SUCCESS: "green",
    Status.RUNNING: "cyan",
    Status.PARTIAL_FAILURE: "yellow",
    Status.SKIPPED: "yellow",
}


@dataclass(frozen=True)
class JobLine:
    """A job and its newest row in the execution log, None before its first run."""

    job: LiveJob
    last_run: LogRow | None


@dataclass(frozen=True)
class Away:
    """The server or the database cannot be read now."""

    reason: str


async def show_jobs(settings: Settings, children: Children, console: Console, stop: asyncio.Event) -> bool:
    """Show the jobs until `stop`, or until a process ends by itself; gives whether one did.

    On a terminal it is one table that changes in place; elsewhere a line for each change. A server or database that is
    away is shown as well: the runs go on, and so does this.
    """
    engine = await engine_from_settings(settings)
    seen: set[tuple[object, ...]] = set()
    shown = None
    try:
        async with get_client() as client:
            with Live(console=console, auto_refresh=False, transient=False) as live:
                while not stop.is_set():
                    if dead := children.ended():
                        _announce(console, dead)
                        return True
                    before, shown = shown, await _look(client, engine)
                    if console.is_terminal:
                        live.update(_away(shown) if isinstance(shown, Away) else _table(shown), refresh=True)
                    elif not isinstance(shown, Away):
                        _print_changes(console, shown, seen)
                    elif shown != before:
                        console.print(_away(shown))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), REFRESH_SECONDS)
    finally:
        await engine.dispose()
    return False


async def _look(client: PrefectClient, engine: AsyncEngine) -> list[JobLine] | Away:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            jobs = await read_live_jobs(client, await server_now(client))
            return [JobLine(job, await _last_run(engine, job.job_name)) for job in jobs]
    except TimeoutError:
        return Away(f"The Prefect server or the database has not answered for {LOOK_SECONDS:g} s.")
    except (httpx.HTTPError, PrefectException) as error:
        return Away(f"The Prefect server does not answer as it should ({type(error).__name__}).")
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        return Away(f"The database cannot be read ({type(error).__name__}).")


def _away(away: Away) -> Text:
    return Text(f"{away.reason} Runs go on without; looking again.", style="yellow")


def _print_changes(console: Console, lines: Sequence[JobLine], seen: set[tuple[object, ...]]) -> None:
    for line in lines:
        row = line.last_run
        if row is None or (row.execution_id, row.status) in seen:
            continue
        seen.add((row.execution_id, row.status))
        console.print(f"{row.started_at:%H:%M:%S}  {row.job_name}  {row.status}  {_what_it_did(row)}", highlight=False)


def _table(lines: Sequence[JobLine]) -> Table:
    table = Table(
        "job", "schedule", "last run", "status", "took", "what it did", "next run", title="VibeCheck's pipeline"
    )
    for line in lines:
        row, job = line.last_run, line.job
        cells = ("-", "not run yet", "", "")
        if row is not None:
            colour = _COLOURS.get(row.status, "red")
            took = "" if row.duration_seconds is None else f"{row.duration_seconds:.1f} s"
            cells = (_clock(row.started_at), f"[{colour}]{row.status}[/]", took, _what_it_did(row))
        next_run = "paused" if job.paused else _clock(job.next_run_at)
        table.add_row(job.job_name, schedule_in_words(job.specs), *cells, next_run)
    return table


def _what_it_did(row: LogRow) -> str:
    details = row.details
    if "fetched" not in details:
        # Whoever wrote the message, it is no markup.
        return escape(row.error_message or str(details.get("reason", "")))
    return f"{details['fetched']} fetched, {details['inserted']} new, {details['updated']} updated"


def _clock(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone():%H:%M:%S}"


def _announce(console: Console, dead: Sequence[Child]) -> None:
    for child in dead:
        console.print(f"[red]{child.name} ended with exit code {child.process.returncode}.[/] Its log: {child.log}")


async def _last_run(engine: AsyncEngine, job_name: str) -> LogRow | None:
    async with reading(engine) as connection:
        rows = await latest_runs(connection, job_name, limit=1)
    return rows[0] if rows else None
