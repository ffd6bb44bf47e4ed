"""The first runs of the jobs, when `vibecheck up` starts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException
from prefect.states import Scheduled

from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.prefect_runs import JobRuns, server_now
from flows.monitoring.reconcile.late_runs import sweep_late_runs

# A first run, with a day of news to catch up on, has ended by then.
LONGEST_FIRST_RUN = timedelta(minutes=10)
IN_HAND = (StateType.PENDING, StateType.RUNNING)


async def sweep_due_runs(client: PrefectClient) -> None:
    """Cancel what is due already: one such run could take its job's slot, only to find that it is late.

    However young it is: the runs that `up` starts by itself take its place.
    """
    now = await server_now(client)
    live = await read_live_jobs(client, now)
    jobs = {job.deployment_id: job.job_name for job in live if job.is_supervised}
    await sweep_late_runs(JobRuns(client, jobs), now, late_after=timedelta(0))


async def start_first_runs(client: PrefectClient) -> list[str]:
    """Let each supervised job run at once, through its worker; its schedule goes on. Raises httpx.HTTPError.

    1. Leave alone what is paused or has no active schedule: somebody wants that it does not run.
    2. Let the server plan the next ticks now: its scheduler may come by only in some seconds.
    3. A job that has a run in a worker's hands needs no other: it would be refused, as an overlap.
    4. A job whose next tick comes soon gets the run of that tick, brought forward: the tick itself would be refused.
    5. Any other job gets a run of its own.

    Returns a sentence for each job that the server refuses to start; the others start.
    """
    now = await server_now(client)
    jobs = [job for job in await read_live_jobs(client, now) if job.is_supervised and not job.paused]
    for job in jobs:
        await client.request("POST", "/deployments/{id}/schedule", path_params={"id": str(job.deployment_id)}, json={})
    names = {job.deployment_id: job.job_name for job in jobs}
    runs = await JobRuns(client, names).in_states([StateType.SCHEDULED, *IN_HAND])
    refusals: list[str] = []
    for job in jobs:
        try:
            await _start_first_run(client, job, [run for run in runs if run.deployment_id == job.deployment_id], now)
        except (httpx.HTTPStatusError, PrefectException) as error:
            refusals.append(f"{job.job_name} waits for its next tick: it was refused a first run ({_reason(error)}).")
    return refusals


async def _start_first_run(client: PrefectClient, job: LiveJob, runs: Sequence[FlowRun], now: datetime) -> None:
    if any(run.state_type in IN_HAND for run in runs):
        return
    planned = sorted(
        (run.expected_start_time, run.id) for run in runs if run.auto_scheduled and run.expected_start_time is not None
    )
    if planned and planned[0][0] <= now + _soon([due for due, _ in planned]):
        message = "Brought forward by `vibecheck up`, as its first run."
        await client.set_flow_run_state(planned[0][1], Scheduled(scheduled_time=now, message=message))
    else:
        await client.create_flow_run_from_deployment(job.deployment_id, tags=["start-up"])


def _soon(planned: Sequence[datetime]) -> timedelta:
    """How near a tick must be to be brought forward: up to half an interval, or the job would be overdue before its
    next tick.
    """
    return min([LONGEST_FIRST_RUN, *((later - due) / 2 for due, later in pairwise(planned))])


def _reason(error: Exception) -> str:
    """What the server says for people, where it says something: Prefect's own text has addresses around it."""
    if not isinstance(error, httpx.HTTPStatusError):
        return str(error) or type(error).__name__
    try:
        answer: Any = error.response.json()
        return str(answer["detail"]).strip().rstrip(".")
    except (ValueError, LookupError, TypeError):
        return f"HTTP {error.response.status_code}"
