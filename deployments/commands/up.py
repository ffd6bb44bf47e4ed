"""`vibecheck up`: the whole pipeline on one machine, until Ctrl-C.

1. Take the data directory's lock, which every child process inherits: no second `up`, no forgotten child.
2. Start everything (`startup`), and note for other terminals which server and database these are.
3. Show the jobs until Ctrl-C. A process that ends by itself is started again (`restarts`).
4. However that ends: drain the workers, so that running flows finish, then stop everything. A second Ctrl-C stops at
   once.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from deployments.commands.data_directory import forget_environment
from deployments.commands.processes import Children, data_directory_lock
from deployments.commands.restarts import Restarts
from deployments.commands.startup import WORKER, WantedPorts, start
from deployments.parameters import GivenSettings, Port
from flows.settings import Settings

STOP_SECONDS = 10.0


async def run_up(
    *,
    port: Annotated[
        Port | None, Parameter(help="Port of the Prefect server and its UI. Default: that of the last time, or 4200.")
    ] = None,
    health_port: Annotated[
        Port | None, Parameter(help="Port of the status page. Default: that of the last time, or 8080.")
    ] = None,
    settings: GivenSettings,
) -> int:
    """Run the whole pipeline on this machine, with embedded defaults, until Ctrl-C."""
    console = Console()
    stop_requested = asyncio.Event()
    home = settings.data_directory
    with data_directory_lock(home) as descriptor:
        children = Children(home / "logs", inherited_descriptors=(descriptor,))
        _on_stop_signals(stop_requested, children, console)
        try:
            async with drained_at_the_end(children, console):
                await _run(settings, WantedPorts(port, health_port), children, console, stop_requested)
        finally:
            forget_environment(home)
    console.print("Stopped. `make up` goes on from here.")
    return 0


async def _run(
    settings: Settings, wanted: WantedPorts, children: Children, console: Console, stop_requested: asyncio.Event
) -> None:
    startup = asyncio.ensure_future(start(settings, wanted, children, console))
    stop = asyncio.ensure_future(stop_requested.wait())
    try:
        await asyncio.wait([startup, stop], return_when=asyncio.FIRST_COMPLETED)
        if not startup.done():
            startup.cancel()
            await asyncio.wait([startup])  # or it starts one more process
            return
        started = startup.result()
    finally:
        stop.cancel()
    from deployments.commands.live import show_jobs

    restarts = Restarts()
    async with restarts.keeping(children.all):
        await show_jobs(started, restarts, console, stop_requested)


@asynccontextmanager
async def drained_at_the_end(children: Children, console: Console) -> AsyncGenerator[None]:
    """Let the workers finish their runs, and stop every process, however the block ends."""
    try:
        yield
    finally:
        await _drain(children, console)
        for child in reversed(children.all):
            await child.stop(wait_seconds=STOP_SECONDS)


async def _drain(children: Children, console: Console) -> None:
    """Tell the workers to take no further run, and wait for the runs that they have."""
    workers = [child for child in children.all if child.name.startswith(WORKER) and child.is_running]
    if not workers:
        return
    for worker in workers:
        worker.signal_process(signal.SIGTERM)
    console.print("Letting running flows finish; Ctrl-C again stops at once …")
    for worker in workers:
        await worker.process.wait()


def _on_stop_signals(stop_requested: asyncio.Event, children: Children, console: Console) -> None:
    """The first Ctrl-C or SIGTERM asks to stop; the second ends every process at once."""

    def stop() -> None:
        if stop_requested.is_set():
            children.kill()
            console.print("[yellow]Stopped at once: running flows were cut off; the next run completes their work.")
            os._exit(1)
        stop_requested.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
