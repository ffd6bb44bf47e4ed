"""What `vibecheck up` shows while it runs: what `vibecheck status` shows, from the database alone."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from deployments.commands.restarts import Restarts
from deployments.commands.startup import Started
from deployments.commands.status import CannotTell, Seen, look, render
from flows.database.engine import opened_engine
from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.wording import clock, explain_run

# How often to look while a run goes or is due, and while nothing is to be seen.
BUSY_SECONDS = 2.0
QUIET_SECONDS = 10.0
# So long before and after its tick a run is looked for.
SOON_SECONDS, LATE_SECONDS = QUIET_SECONDS, 60.0


async def show_jobs(started: Started, restarts: Restarts, console: Console, stop: asyncio.Event) -> None:
    """Show the jobs until `stop`. Raises KeepsEnding when a process does.

    On a terminal it is one table that changes in place; elsewhere a line for each change. A database that is away is
    shown as well: the runs go on, and so does this.
    """
    said = set[object]() if started.before is None else set(_changes(started.before))
    shown, zone = None, started.settings.zone()
    # A file may be restored while it is watched.
    async with opened_engine(started.settings, keep_files_open=False) as engine:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not stop.is_set():
                restarts.check()
                restarts.news.clear()
                before, shown = shown, await look(engine, started.settings)
                if console.is_terminal:
                    live.update(_table(shown, restarts, zone), refresh=True)
                else:
                    _print_restarts(console, restarts, zone, said)
                    if isinstance(shown, Seen):
                        _print_changes(console, shown.report, said)
                    elif not isinstance(before, CannotTell):
                        console.print(render(shown))
                await _wait(stop, restarts.news, BUSY_SECONDS if _is_busy(shown) else QUIET_SECONDS)


def _is_busy(shown: Seen | CannotTell) -> bool:
    """Whether something is about to change."""
    if isinstance(shown, CannotTell):
        return True
    at, jobs = shown.report.at, shown.report.jobs.values()
    ahead = [(job.next_tick - at).total_seconds() for job in jobs if job.next_tick is not None]
    is_due = any(-LATE_SECONDS < seconds < SOON_SECONDS for seconds in ahead)
    return is_due or any(job.facts.running_since or job.last_run is None for job in jobs)


async def _wait(stop: asyncio.Event, news: asyncio.Event, seconds: float) -> None:
    """Wait for either, and no longer than `seconds`."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, news)]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _table(shown: Seen | CannotTell, restarts: Restarts, zone: ZoneInfo) -> RenderableType:
    now = datetime.now(zone)
    lines = [Text(restart.in_words(now), style="yellow") for restart in restarts.latest.values()]
    # Above the table, whose end a low terminal does not show.
    return Group(*lines, render(shown))


def _print_restarts(console: Console, restarts: Restarts, zone: ZoneInfo, said: set[object]) -> None:
    for restart in restarts.latest.values():
        if restart not in said:
            said.add(restart)
            console.print(
                f"[yellow]{escape(restart.in_words(restart.at.astimezone(zone)))}", highlight=False, soft_wrap=True
            )


def _print_changes(console: Console, report: Report, said: set[object]) -> None:
    for change, line in _changes(report).items():
        if change not in said:
            said.add(change)
            console.print(line, highlight=False, soft_wrap=True)


def _changes(report: Report) -> Mapping[object, str]:
    """What there is to say of each job's last run, by what makes it news."""
    lines: dict[object, str] = {}
    for name, job in report.jobs.items():
        if (row := job.last_run) is not None:
            at = clock(row.started_at, report.at, with_seconds=True)
            # Whoever wrote the message, it is not markup.
            line = f"{at}  {escape(name)}  {row.status}  {escape(explain_run(row))}"
            lines[row.execution_id, row.status] = line.rstrip()
    return lines
