"""`vibecheck drain` and `resume`: let no run of any worker be cut off by maintenance."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from rich.console import Console
from rich.markup import escape

from deployments.failures import CommandFailed
from deployments.parameters import Duration, GivenSettings
from deployments.server.environments import require_server
from deployments.server.timers import hold_timers
from deployments.server.work_pools import chosen_work_pools, count_active_runs, set_work_pools_paused
from flows.database.clock import database_now
from flows.database.engine import DATABASE_ERRORS, opened_engine
from flows.logs import configure_logging
from flows.monitoring.alarms.planned_stops import begin_planned_stop, end_planned_stop
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.verdicts.wording import clock
from flows.settings import Settings

CHECK_SECONDS = 1.0

Pools = Annotated[list[str] | None, Parameter(help="The work pools; without any, those of prefect.yaml.")]
Every = Annotated[bool, Parameter(name="--all", help="Every work pool of the server.")]


async def run_drain(
    pools: Pools = None,
    /,
    *,
    every: Every = False,
    patience: Annotated[
        Duration, Parameter(name="--timeout", help="How long to wait for the runs, such as 90s or 15m.")
    ] = timedelta(minutes=15),
    duration: Annotated[
        Duration, Parameter(name="--for", help="Tell nobody of the stop for so long at most, such as 90m or 3h.")
    ] = timedelta(hours=1),
    settings: GivenSettings,
) -> int:
    """Pause work pools, and wait until no run is going: for maintenance. Nobody is told of it meanwhile.

    The pools stay paused until `resume`, also when runs are still going after the timeout (exit code 1).
    """
    require_server()
    configure_logging(settings, to_prefect=False)
    console = Console()
    try:
        async with get_client() as client:
            chosen = await chosen_work_pools(client, pools or [], every=every)
            jobs = await _jobs_of(client, chosen)
            await set_work_pools_paused(client, chosen, paused=True)
            console.print(f"Paused {_named(chosen)}: no run starts there until `vibecheck resume`.")
            await _silence(settings, client, console, jobs, duration)
            async with asyncio.timeout(patience.total_seconds()):
                await _wait_for_runs(client, chosen, console)
    except TimeoutError:
        raise CommandFailed(f"Runs are still going after {patience}; the pools stay paused.") from None
    console.print("No run is going.")
    return 0


async def run_resume(pools: Pools = None, /, *, every: Every = False, settings: GivenSettings) -> int:
    """Let work pools start runs again, after `drain`."""
    require_server()
    configure_logging(settings, to_prefect=False)
    async with get_client() as client:
        chosen = await chosen_work_pools(client, pools or [], every=every)
        jobs = await _jobs_of(client, chosen)
        await set_work_pools_paused(client, chosen, paused=False)
    console = Console()
    console.print(f"Resumed {_named(chosen)}.")
    try:
        async with opened_engine(settings) as engine, engine.begin() as connection:
            await end_planned_stop(connection, jobs)
    except DATABASE_ERRORS as error:
        console.print(f"[yellow]Nobody is told of the jobs for the rest of the planned stop: {_in_short(error)}")
    return 0


def _named(pools: Sequence[str]) -> str:
    return f"the work pool{'s' if len(pools) > 1 else ''} {' and '.join(escape(name) for name in pools)}"


async def _jobs_of(client: PrefectClient, pools: Sequence[str]) -> set[str]:
    """The names of the monitored jobs whose runs the pools have."""
    return {job.job_name for job in await read_live_jobs(client, await server_now(client)) if job.work_pool in pools}


async def _silence(
    settings: Settings, client: PrefectClient, console: Console, jobs: Collection[str], duration: timedelta
) -> None:
    """Let neither the status flow nor the server tell people of what is planned."""
    try:
        async with opened_engine(settings) as engine, engine.begin() as connection:
            until = await begin_planned_stop(connection, jobs, duration)
            now = await database_now(connection)
    except DATABASE_ERRORS as error:
        console.print(f"[yellow]The stop is not silenced, people may be told of it: {_in_short(error)}")
        return
    await hold_timers(client, jobs, duration)
    console.print(f"Nobody is told of their jobs until {clock(until, now)} at the latest; `--for` says how long.")


def _in_short(error: Exception) -> str:
    # What follows the first line is the statement.
    return escape((str(error).splitlines() or [""])[0])


async def _wait_for_runs(client: PrefectClient, pools: Sequence[str], console: Console) -> None:
    announced = 0
    while running := await count_active_runs(client, pools):
        if running != announced:
            console.print(f"Waiting for {running} run(s) …")
            announced = running
        await asyncio.sleep(CHECK_SECONDS)
