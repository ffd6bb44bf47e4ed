"""What `vibecheck up` shows while it runs: what `vibecheck status` shows, from the database alone."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from deployments.commands.processes import Child, Children
from deployments.commands.status import CannotTell, look, render
from flows.database.engine import opened_engine
from flows.monitoring.verdicts.report import Report
from flows.settings import Settings

REFRESH_SECONDS = 2.0


async def show_jobs(settings: Settings, children: Children, console: Console, stop: asyncio.Event) -> bool:
    """Show the jobs until `stop`, or until a process ends by itself; return whether one did.

    On a terminal it is one table that changes in place; elsewhere a line for each change. A database that is away is
    shown as well: the runs go on, and so does this.
    """
    said: set[object] = set()
    shown = None
    async with opened_engine(settings) as engine:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not stop.is_set():
                if dead := children.ended():
                    _announce(console, dead)
                    return True
                before, shown = shown, await look(engine, settings)
                if console.is_terminal:
                    live.update(render(shown), refresh=True)
                elif isinstance(shown, Report):
                    _print_changes(console, shown, said)
                elif not isinstance(before, CannotTell):
                    console.print(render(shown))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_SECONDS)
    return False


def _print_changes(console: Console, report: Report, said: set[object]) -> None:
    for name, job in report.jobs.items():
        row = job.last_run
        if row is not None and (change := (row.execution_id, row.status)) not in said:
            said.add(change)
            what = row.error_message or _counts(row.details)
            # Whoever wrote the message, it is not markup.
            line = f"{row.started_at:%H:%M:%S} UTC  {escape(name)}  {row.status}  {escape(what)}"
            console.print(line.rstrip(), highlight=False, soft_wrap=True)


def _counts(details: Mapping[str, Any]) -> str:
    if "fetched" not in details:
        return ""
    return f"{details['fetched']} fetched, {details['inserted']} new, {details['updated']} updated"


def _announce(console: Console, dead: Sequence[Child]) -> None:
    for child in dead:
        console.print(f"[red]{child.name} ended with exit code {child.process.returncode}.[/] Its log: {child.log}")
