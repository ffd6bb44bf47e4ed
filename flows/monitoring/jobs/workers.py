"""Whether anybody is there to execute the jobs: the work pools of their deployments, and the workers that poll them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterId
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound

from flows.monitoring.jobs.registry import AbsentWorker
from flows.monitoring.prefect_runs import PAGE, flow_names
from flows.monitoring.vocabulary import MONITORED_TAG

# What Prefect does where nothing is set.
DEFAULT_HEARTBEAT_SECONDS = 180.0
_HEARTBEAT_SETTING = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"


@dataclass(frozen=True)
class Placement:
    """Where the runs of one of a job's deployments execute. `work_pool` is None for a deployment that is served."""

    job_name: str
    work_pool: str | None
    heartbeat_seconds: float
    """How often its runs say that they are alive."""


async def read_placements(client: PrefectClient) -> list[Placement]:
    """The placements of every monitored deployment."""
    monitored = DeploymentFilter(tags=DeploymentFilterTags(all_=[MONITORED_TAG]))
    deployments = await client.read_deployments(deployment_filter=monitored, limit=PAGE)
    names = await flow_names(client, FlowFilter(id=FlowFilterId(any_=[each.flow_id for each in deployments])))
    return [
        Placement(names[each.flow_id], each.work_pool_name, _heartbeat_seconds(each.job_variables or {}))
        for each in deployments
        if each.flow_id in names
    ]


async def absent_workers(client: PrefectClient, placements: Sequence[Placement]) -> dict[str, AbsentWorker]:
    """The jobs that no worker would execute, by name. A pool that somebody paused is not one without workers."""
    absent: dict[str | None, AbsentWorker] = {}
    for pool in {placement.work_pool for placement in placements}:
        if pool is not None and (absence := await _absence(client, pool)) is not None:
            absent[pool] = absence
    by_job: dict[str, list[str | None]] = {}
    for placement in placements:
        by_job.setdefault(placement.job_name, []).append(placement.work_pool)
    return {job: absent[pools[0]] for job, pools in by_job.items() if all(pool in absent for pool in pools)}


async def _absence(client: PrefectClient, pool: str) -> AbsentWorker | None:
    try:
        if (await client.read_work_pool(pool)).status != WorkPoolStatus.NOT_READY:
            return None
        workers = await client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return AbsentWorker(pool, None)
    heartbeats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time is not None]
    return AbsentWorker(pool, max(heartbeats, default=None))


def _heartbeat_seconds(job_variables: Mapping[str, Any]) -> float:
    environment = cast("Mapping[str, Any]", job_variables.get("env") or {})
    return float(environment.get(_HEARTBEAT_SETTING, DEFAULT_HEARTBEAT_SECONDS))


def names_in(placements: Iterable[Placement], work_pool: str) -> list[str]:
    """The jobs that a work pool executes."""
    return sorted({placement.job_name for placement in placements if placement.work_pool == work_pool})
