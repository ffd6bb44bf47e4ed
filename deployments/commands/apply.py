"""`vibecheck apply`: bring a database and a Prefect server to what prefect.yaml describes. Running it again is safe.

1. Migrate the pipeline's database and seed the tracked entities.
2. Make the work pools that prefect.yaml names, if they are not there.
3. `prefect deploy --all`; and name what prefect.yaml no longer has, or remove it with `--prune`.
4. Make the server's automations, and the block that they notify through.
5. Note in the database which jobs are expected from now on, and how often.
6. Wait until the server's scheduler has planned the runs of the next 99 days, and say what is deployed, how often it
   runs, and when next.

With `--watch-only` it does so for the monitoring alone: its tables, the status flow and its pool, the automations. A
database that was made so stays so, whoever says `vibecheck apply` later, until somebody says `--no-watch-only`.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import structlog
from cyclopts import Parameter
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from rich.console import Console
from rich.table import Column, Table

from deployments.commands.doctor.database import only_watches
from deployments.commands.names import Name, name_column
from deployments.commands.tracked_entities import tracked_entities
from deployments.failures import CommandFailed
from deployments.parameters import GivenSettings
from deployments.server.automations import apply_automations
from deployments.server.described import check_described, file_to_deploy
from deployments.server.environments import require_server
from deployments.server.ours import delete_deployments, own_deployments
from deployments.server.work_pools import make_work_pools
from flows.database.engine import opened_engine
from flows.database.migrate import migrate
from flows.logs import configure_logging
from flows.monitoring.alarms.receivers import check_receivers, receivers_of
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.jobs.schedules import schedule_in_words
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.verdicts.wording import clock
from flows.polling.storage.entities import seed_entities
from flows.settings import PROJECT_ROOT, Settings

# The scheduler looks at new deployments every 5 seconds, and at all of them every 60.
PLANNING_SECONDS = 90.0

logger = structlog.stdlib.get_logger()


async def apply(settings: Settings, *, watch_only: bool = False, prune: bool = False) -> Sequence[LiveJob]:
    """Do all steps, for the monitoring alone if `watch_only`, and return the monitored deployments.

    Raises DatabaseUnavailable, InvalidReceiver for a wrong VIBECHECK_NOTIFICATION, httpx.HTTPError or PrefectException
    when the server does not answer, and CommandFailed when `prefect deploy` fails.
    """
    await prepare_database(settings, watch_only=watch_only)
    async with get_client() as client:
        await make_work_pools(client, watch_only=watch_only)
        await deploy(watch_only=watch_only)
        await leave_out(client, prune=prune)
        await set_up_monitoring(client, settings)
        return await verify_deployments(client)


async def prepare_database(settings: Settings, *, watch_only: bool = False) -> None:
    """Migrate the database to the newest revision, and seed the tracked entities unless it is only to watch."""
    async with opened_engine(settings) as engine:
        await migrate(engine, watch_only=watch_only)
        if watch_only:
            return
        async with engine.begin() as connection:
            await seed_entities(connection, [(entity.name, entity.category) for entity in tracked_entities()])


async def deploy(*, watch_only: bool = False) -> None:
    """Run `prefect deploy --all`. Raises CommandFailed with its output when it fails."""
    with file_to_deploy(watch_only=watch_only) as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)),
            cwd=PROJECT_ROOT,
            env={**os.environ, "PREFECT_CLI_COLORS": "false", "COLUMNS": "160"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    if process.returncode != 0:
        raise CommandFailed(f"`prefect deploy --all` failed:\n{output.decode(errors='replace')}")


async def leave_out(client: PrefectClient, *, prune: bool) -> None:
    """Name the deployments of ours that prefect.yaml no longer has, or remove them. Nobody else's is touched."""
    left = [deployment for deployment in await own_deployments(client) if not deployment.is_described]
    names = [deployment.full_name for deployment in left]
    if left and prune:
        await delete_deployments(client, left)
        logger.info("deployments_removed", names=names)
    elif left:
        logger.warning(
            "deployments_left_over",
            names=names,
            explanation="They are not in prefect.yaml, and go on running. `vibecheck apply --prune` removes them.",
        )


async def set_up_monitoring(client: PrefectClient, settings: Settings) -> None:
    """Make the automations, and note which jobs are expected to run. Raises InvalidReceiver for a wrong receiver."""
    await apply_automations(client, settings)
    # From now on, so that one that never runs is noticed; and those that are gone no more.
    async with opened_engine(settings) as engine:
        await sync_expectations(client, engine)


async def verify_deployments(client: PrefectClient) -> Sequence[LiveJob]:
    """Wait until each job that is due within 99 days has a planned run, and report; log an error for what has none."""
    deadline = asyncio.get_running_loop().time() + PLANNING_SECONDS
    while True:
        jobs = await read_live_jobs(client, await server_now(client))
        idle = [job for job in jobs if job.lacks_runs]
        if not idle or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(1)
    logger.info(
        "deployments_registered",
        count=len(jobs),
        names=[job.full_name for job in jobs],
        schedules={job.full_name: schedule_in_words(job.specs) for job in jobs},
        next_runs={job.full_name: str(job.next_run_at) for job in jobs},
    )
    if not jobs:
        logger.error("no_deployments", explanation="The server has no deployment tagged `monitored`: nothing will run.")
    for job in idle:
        logger.error(
            "no_planned_runs",
            deployment=job.full_name,
            explanation="The server's scheduler has planned no run. Is its scheduler service running? Its log says if "
            "the schedule cannot be computed.",
        )
    return jobs


async def run_apply(
    *,
    watch_only: Annotated[
        bool | None,
        Parameter(
            help="Only the monitoring: its tables, status flow, automations and pool. Left out, it is as it was the "
            "last time.",
        ),
    ] = None,
    prune: Annotated[bool, Parameter(help="Remove deployments of ours that prefect.yaml no longer has.")] = False,
    settings: GivenSettings,
) -> int:
    """Migrate the database and bring the Prefect server at PREFECT_API_URL to what prefect.yaml describes.

    Exit code 1 when a deployment that should run has no planned run.
    """
    require_server()
    check_receivers(receivers_of(settings).values())
    configure_logging(settings, to_prefect=False)
    if watch_only is None:
        watch_only = await only_watches(settings)
    check_described(watch_only=watch_only)
    jobs = await apply(settings, watch_only=watch_only, prune=prune)
    console = Console()
    console.print(table_of_deployments(jobs, datetime.now(settings.zone()), console.width))
    return 0 if jobs and not any(job.lacks_runs for job in jobs) else 1


def table_of_deployments(jobs: Sequence[LiveJob], now: datetime, width: int) -> Table:
    """Return what is registered, how often it runs, and when next."""
    names = name_column("deployment", [job.full_name for job in jobs], width)
    table = Table(names, Column("schedule", overflow="fold"), "next run", "planned")
    for job in jobs:
        planned = clock(job.next_run_at, now, with_seconds=True) if job.next_run_at else "none"
        next_run = "paused" if job.paused and not job.is_unscheduled else planned
        table.add_row(Name(job.full_name), schedule_in_words(job.specs), next_run, str(job.planned_runs))
    return table
