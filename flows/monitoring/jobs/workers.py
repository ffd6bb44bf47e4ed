"""Whether anybody is there to execute the jobs: the work pools of their deployments, and the workers that poll them."""

from collections.abc import Iterable, Sequence

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound

from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.registry import AbsentWorker


async def absent_workers(client: PrefectClient, jobs: Sequence[LiveJob]) -> dict[str, AbsentWorker]:
    """The jobs that no worker would execute, by name. A pool that somebody paused is not one without workers."""
    absences = {pool: await _absence(client, pool) for pool in {job.work_pool for job in jobs} if pool is not None}
    return {
        job.job_name: absence
        for job in jobs
        if job.work_pool is not None and (absence := absences[job.work_pool]) is not None
    }


async def _absence(client: PrefectClient, pool: str) -> AbsentWorker | None:
    try:
        if (await client.read_work_pool(pool)).status != WorkPoolStatus.NOT_READY:
            return None
        workers = await client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return AbsentWorker(pool, None)
    heartbeats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time is not None]
    return AbsentWorker(pool, max(heartbeats, default=None))


def names_in(jobs: Iterable[LiveJob], work_pool: str) -> list[str]:
    """The jobs that a work pool executes."""
    return sorted(job.job_name for job in jobs if job.work_pool == work_pool)
