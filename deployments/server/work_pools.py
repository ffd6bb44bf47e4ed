"""The work pools that prefect.yaml names: made, paused to drain their workers, and resumed."""

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    Operator,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.failures import CommandFailed
from deployments.server.described import work_pool_names

# States in which a worker has a run in its hands.
_ACTIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]

logger = structlog.stdlib.get_logger()


async def make_work_pools(client: PrefectClient, *, watch_only: bool = False) -> None:
    """Make the work pools that are missing, as process pools. A pool that exists, of any type, is left alone."""
    from prefect.workers.process import ProcessWorker

    for name in work_pool_names(watch_only=watch_only):
        try:
            await client.read_work_pool(name)
        except ObjectNotFound:
            pool = WorkPoolCreate(
                name=name, type=ProcessWorker.type, base_job_template=ProcessWorker.get_default_base_job_template()
            )
            try:
                await client.create_work_pool(pool)
            except ObjectAlreadyExists:
                continue  # another apply was faster
            logger.info("work_pool_created", work_pool=name)


async def set_work_pools_paused(client: PrefectClient, *, paused: bool) -> None:
    """Pause the pools, so that their workers start nothing, or resume them. Raises CommandFailed for an absent one."""
    for name in work_pool_names():
        try:
            await client.update_work_pool(name, WorkPoolUpdate(is_paused=paused))
        except ObjectNotFound:
            raise CommandFailed(f"The server has no work pool {name!r}: `vibecheck apply` makes it.") from None


async def count_active_runs(client: PrefectClient) -> int:
    """How many flow runs of the pools are being started, running, waiting for their own retry, or being cancelled."""
    runs = await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=work_pool_names())),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                operator=Operator.or_,  # pyright: ignore[reportCallIssue]  # a field of a mixin
                type=FlowRunFilterStateType(any_=_ACTIVE),
                name=FlowRunFilterStateName(any_=["AwaitingRetry"]),
            )
        ),
    )
    # A run that a person retries waits for a worker, and a paused pool has none; its own retry waits in its process.
    return sum(run.state_name != "AwaitingRetry" or run.empirical_policy.retry_type == "in_process" for run in runs)
