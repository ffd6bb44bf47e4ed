"""Work pools: those that prefect.yaml names are made; any is paused to drain its workers, and resumed."""

from collections.abc import Sequence

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

# The server's own limit on a page.
_PAGE = 200
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


async def chosen_work_pools(client: PrefectClient, names: Sequence[str], *, every: bool) -> list[str]:
    """Return the names of the pools that are meant: `names`, or `every` pool; else those of prefect.yaml that exist.

    Raises CommandFailed for a name that the server does not have, or if nothing is left.
    """
    if names and every:
        raise CommandFailed("Name work pools, or say --all: not both.")
    existing = await server_work_pools(client)
    if absent := sorted(set(names) - set(existing)):
        raise no_such_pool(absent, existing)
    if chosen := sorted(set(names)) or [name for name in existing if every or name in work_pool_names()]:
        return chosen
    raise no_such_pool(work_pool_names(), existing)


async def server_work_pools(client: PrefectClient) -> list[str]:
    """Return the names of all work pools of the server."""
    names: list[str] = []
    while page := await client.read_work_pools(limit=_PAGE, offset=len(names)):
        names += [pool.name for pool in page]
        if len(page) < _PAGE:
            break
    return sorted(names)


def no_such_pool(absent: Sequence[str], existing: Sequence[str]) -> CommandFailed:
    """Return what to raise for pools that the server does not have."""
    return CommandFailed(
        f"The server has no work pool {' and no '.join(map(repr, absent))}. It has: {', '.join(existing) or 'none'}. "
        "`vibecheck apply` makes those of prefect.yaml."
    )


async def set_work_pools_paused(client: PrefectClient, names: Sequence[str], *, paused: bool) -> None:
    """Pause the pools, so that their workers start nothing, or resume them."""
    for name in names:
        await client.update_work_pool(name, WorkPoolUpdate(is_paused=paused))


async def count_active_runs(client: PrefectClient, pools: Sequence[str]) -> int:
    """Count the pools' flow runs that are being started, running, waiting for their own retry, or being cancelled."""
    runs = await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools))),
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
