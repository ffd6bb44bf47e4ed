"""Whether anybody is there to execute the jobs: the work pools of their deployments, and the workers that poll them."""

from collections.abc import Iterable, Sequence

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound

from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.registry import AbsentWorker
from flows.monitoring.prefect_runs import unless_refused


async def absent_workers(client: PrefectClient, jobs: Sequence[LiveJob]) -> dict[str, AbsentWorker | None]:
    """Return, by job, the work pool of each that no worker would execute, and None for one that somebody would.

    A pool that somebody paused is not one without workers. Jobs of pools of which the server does not tell are left
    out. Raises httpx.HTTPError when the server cannot be asked.
    """
    absences: dict[str | None, AbsentWorker | None] = {None: None}
    for pool in sorted({job.work_pool for job in jobs if job.work_pool is not None}):
        looked = await unless_refused(_absence(client, pool), work_pool=pool)
        if looked is not None:
            (absences[pool],) = looked
    return {job.job_name: absences[job.work_pool] for job in jobs if job.work_pool in absences}


async def _absence(client: PrefectClient, pool: str) -> tuple[AbsentWorker | None]:
    try:
        if (await client.read_work_pool(pool)).status != WorkPoolStatus.NOT_READY:
            return (None,)
        workers = await client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return (AbsentWorker(pool, None),)
    heartbeats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time is not None]
    return (AbsentWorker(pool, max(heartbeats, default=None)),)


def names_in(jobs: Iterable[LiveJob], work_pool: str) -> list[str]:
    """Return the jobs that a work pool executes."""
    return sorted(job.job_name for job in jobs if job.work_pool == work_pool)
