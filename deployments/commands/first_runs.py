"""The first runs of the jobs, when `vibecheck up` starts."""

from datetime import timedelta

from prefect.client.orchestration import PrefectClient
from prefect.deployments import arun_deployment

from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.prefect_runs import JobRuns, server_now
from flows.monitoring.reconcile.late_runs import sweep_late_runs


async def sweep_due_runs(client: PrefectClient) -> None:
    """Cancel what is due already: one such run could take its job's slot, only to find that it is late.

    However young it is: the runs that `up` starts by itself take its place.
    """
    now = await server_now(client)
    live = await read_live_jobs(client, now)
    jobs = {job.deployment_id: job.job_name for job in live if job.is_supervised}
    await sweep_late_runs(JobRuns(client, jobs), now, late_after=timedelta(0))


async def start_runs(client: PrefectClient) -> None:
    """One run of each supervised job at once, through its worker; their schedules go on beside it."""
    for job in await read_live_jobs(client, await server_now(client)):
        if job.is_supervised:
            await arun_deployment(job.full_name, timeout=0, as_subflow=False, tags=["start-up"])
