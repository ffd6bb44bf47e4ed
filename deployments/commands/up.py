"""`vibecheck up`: the whole pipeline on one machine, until Ctrl-C.

1. Take the data directory's lock, which every child process inherits: no second `up`, no forgotten child.
2. Start the Prefect server, and the AskNews sandbox if no credentials are set; wait until both answer.
3. Apply: database, work pools, deployments. Cancel the runs that were due while nothing ran here. Start the workers,
   the health app and one run of each job at once.
4. Note for other terminals which server and database these are, and show the jobs' last runs until Ctrl-C.
5. However that ends: drain the workers, so that running flows finish, then stop everything. A second Ctrl-C stops at
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

from deployments.commands.access import forget_environment
from deployments.commands.processes import Children, data_directory_lock
from deployments.commands.startup import WORKER, start
from deployments.parameters import GivenSettings, Port
from flows.settings import Settings

STOP_SECONDS = 10.0


async def run_up(
    *,
    port: Annotated[
        Port, Parameter(help="Port of the Prefect server and its UI; another is taken if it is busy.")
    ] = 4200,
    settings: GivenSettings,
) -> int:
    """Run until Ctrl-C or SIGTERM. Return the command's exit code: 0 after a stop that was asked for, else 1."""
    console = Console()
    stop_requested = asyncio.Event()
    home = settings.data_directory
    with data_directory_lock(home) as descriptor:
        children = Children(home / "logs", inherited_descriptors=(descriptor,))
        _on_stop_signals(stop_requested, children, console)
        return await _run(settings, port, children, console, stop_requested)


async def _run(
    settings: Settings, port: int, children: Children, console: Console, stop_requested: asyncio.Event
) -> int:
    startup = asyncio.ensure_future(start(settings, port, children, console))
    stop = asyncio.ensure_future(stop_requested.wait())
    try:
        async with drained_at_the_end(children, console):
            await asyncio.wait([startup, stop], return_when=asyncio.FIRST_COMPLETED)
            if not startup.done():
                startup.cancel()
                return 0
            settings = startup.result()
            from deployments.commands.live import show_jobs

            failed = await show_jobs(settings, children, console, stop_requested)
            return 1 if failed else 0
    finally:
        stop.cancel()
        forget_environment(settings.data_directory)


@asynccontextmanager
async def drained_at_the_end(children: Children, console: Console) -> AsyncGenerator[None]:
    """However the block ends, let the workers finish their runs, and stop every process."""
    try:
        yield
    finally:
        await _drain(children, console)
        for child in reversed(children.running):
            await child.stop(wait_seconds=STOP_SECONDS)
        console.print("Stopped. `make up` goes on from here.")


async def _drain(children: Children, console: Console) -> None:
    """Tell the workers to take no further run, and wait for the runs that they have."""
    workers = [child for child in children.running if child.name.startswith(WORKER) and child.is_running]
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
