"""`vibecheck drain` and `resume`: let no run of any worker be cut off by maintenance."""

import asyncio

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.markup import escape

from deployments.server.work_pools import NoWorkPool, count_active_runs, set_work_pools_paused, work_pool_names
from flows.logs import configure_logging
from flows.settings import Settings

CHECK_SECONDS = 1.0


async def run_drain(settings: Settings, *, timeout_seconds: float) -> int:
    """Pause the work pools and wait for their runs. Return the exit code: 0 once none is going.

    After `timeout_seconds` it is 1. The pools stay paused in either case, until `resume`.
    """
    configure_logging(settings, to_prefect=False)
    console = Console()
    pools = " and ".join(work_pool_names())
    try:
        async with get_client() as client:
            await set_work_pools_paused(client, paused=True)
            console.print(f"Paused {pools}: no run starts until `vibecheck resume`.")
            async with asyncio.timeout(timeout_seconds):
                await _wait_for_runs(client, console)
    except TimeoutError:
        console.print(f"[red]Runs are still going after {timeout_seconds:g} s; the pools stay paused.")
        return 1
    except NoWorkPool as error:
        console.print(f"[red]{escape(str(error))}", highlight=False)
        return 1
    except (httpx.HTTPError, PrefectException) as error:
        console.print(f"[red]The Prefect server did not do it: {escape(str(error))}", highlight=False)
        return 1
    console.print("No run is going.")
    return 0


async def run_resume(settings: Settings) -> int:
    """Let the work pools start runs again. Return the exit code."""
    configure_logging(settings, to_prefect=False)
    console = Console()
    try:
        async with get_client() as client:
            await set_work_pools_paused(client, paused=False)
    except NoWorkPool as error:
        console.print(f"[red]{escape(str(error))}", highlight=False)
        return 1
    except (httpx.HTTPError, PrefectException) as error:
        console.print(f"[red]The Prefect server did not do it: {escape(str(error))}", highlight=False)
        return 1
    console.print(f"Resumed {' and '.join(work_pool_names())}.")
    return 0


async def _wait_for_runs(client: PrefectClient, console: Console) -> None:
    announced = 0
    while running := await count_active_runs(client):
        if running != announced:
            console.print(f"Waiting for {running} run(s) …")
            announced = running
        await asyncio.sleep(CHECK_SECONDS)
