"""The work pools that prefect.yaml names: made, paused to drain their workers, and resumed."""

import structlog
import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.settings import PROJECT_ROOT

PREFECT_FILE = PROJECT_ROOT / "prefect.yaml"
# States in which a worker has a run in its hands.
_ACTIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]

logger = structlog.stdlib.get_logger()


def work_pool_names() -> list[str]:
    """The work pools of the deployments in prefect.yaml."""
    content = yaml.safe_load(PREFECT_FILE.read_text())
    return sorted({deployment["work_pool"]["name"] for deployment in content["deployments"]})


async def make_work_pools(client: PrefectClient) -> None:
    """Make the work pools that are missing, as process pools. A pool that exists, of any type, is left alone."""
    from prefect.workers.process import ProcessWorker

    for name in work_pool_names():
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
    """Pause the pools, so that their workers start nothing more, or resume them."""
    for name in work_pool_names():
        await client.update_work_pool(name, WorkPoolUpdate(is_paused=paused))


async def count_active_runs(client: PrefectClient) -> int:
    """How many flow runs of the pools are being started, running or being cancelled."""
    runs = await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=work_pool_names())),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE))),
    )
    return len(runs)
