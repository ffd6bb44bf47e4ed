"""`vibecheck drain` and `resume`: let no run of any worker be cut off by maintenance."""

import asyncio
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from rich.console import Console

from deployments.failures import CommandFailed
from deployments.parameters import Duration, GivenSettings
from deployments.server.settings import require_server
from deployments.server.work_pools import count_active_runs, set_work_pools_paused, work_pool_names
from flows.logs import configure_logging

CHECK_SECONDS = 1.0


async def run_drain(
    *,
    patience: Annotated[
        Duration, Parameter(name="--timeout", help="How long to wait for the runs, such as 90s or 15m.")
    ] = timedelta(minutes=15),
    settings: GivenSettings,
) -> int:
    """Pause the work pools and wait for their runs. Return the exit code 0 once none is going.

    Raises CommandFailed after `patience`. The pools stay paused in either case, until `resume`.
    """
    require_server()
    configure_logging(settings, to_prefect=False)
    console = Console()
    pools = " and ".join(work_pool_names())
    try:
        async with get_client() as client:
            await set_work_pools_paused(client, paused=True)
            console.print(f"Paused {pools}: no run starts until `vibecheck resume`.")
            async with asyncio.timeout(patience.total_seconds()):
                await _wait_for_runs(client, console)
    except TimeoutError:
        raise CommandFailed(f"Runs are still going after {patience}; the pools stay paused.") from None
    console.print("No run is going.")
    return 0


async def run_resume(*, settings: GivenSettings) -> int:
    """Let the work pools start runs again. Return the exit code."""
    require_server()
    configure_logging(settings, to_prefect=False)
    async with get_client() as client:
        await set_work_pools_paused(client, paused=False)
    Console().print(f"Resumed {' and '.join(work_pool_names())}.")
    return 0


async def _wait_for_runs(client: PrefectClient, console: Console) -> None:
    announced = 0
    while running := await count_active_runs(client):
        if running != announced:
            console.print(f"Waiting for {running} run(s) …")
            announced = running
        await asyncio.sleep(CHECK_SECONDS)
