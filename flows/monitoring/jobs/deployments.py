"""The monitored deployments, as Prefect's server has them now: the one place that reads them.

A job is a deployment that is tagged `monitored`. In its runs nobody interferes unless it is tagged `supervised` too.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, NoSchedule, RRuleSchedule
from prefect.client.schemas.sorting import DeploymentSort

from flows.database.types import canonical_json
from flows.monitoring.jobs.expectation_tags import Expectations, parse_tags
from flows.monitoring.jobs.schedules import InvalidSchedule, ScheduleSpec, next_ticks
from flows.monitoring.log.naming import job_name_of
from flows.monitoring.paging import PAGE
from flows.monitoring.prefect_answers import REPEATS, UnexpectedAnswer, require
from flows.monitoring.prefect_runs import read_runs
from flows.monitoring.vocabulary import MONITORED_TAG, SUPERVISED_TAG

# What Prefect does where nothing is set.
DEFAULT_HEARTBEAT_SECONDS = 180.0
# Prefect takes no less. With more than a day nobody means to notice anything, and a time would not fit the server.
LEAST_HEARTBEAT_SECONDS, MOST_HEARTBEAT_SECONDS = 30.0, 86_400.0
# Prefect's scheduler plans 100 days ahead.
PLANNED_AHEAD = timedelta(days=99)
_HEARTBEAT_SETTING = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
# How many of a page are read again with the next one.
_READ_TWICE = 20


@dataclass(frozen=True, kw_only=True)
class LiveJob:
    """A job as the server has it now."""

    job_name: str
    full_name: str
    """As Prefect's commands want it: `flow/deployment`."""
    deployment_id: UUID
    schedule: list[dict[str, Any]]
    """Its schedules, as `ScheduleSpec`; those of a paused deployment are not active."""
    paused: bool
    """Whether nothing is scheduled: the deployment is paused, or no schedule is active."""
    is_unscheduled: bool = False
    """Whether the deployment has no schedule at all, and is not paused."""
    changed_at: datetime
    """When the deployment or a schedule was last changed."""
    next_run_at: datetime | None
    """When the scheduler will start it next; its next tick where that is too far ahead to be planned."""
    planned_runs: int
    lacks_runs: bool = False
    """Whether the scheduler should have planned runs, and has none."""
    work_pool: str | None
    """Where its runs execute; None for a deployment that is served."""
    heartbeat_seconds: float
    """How often its runs say that they are alive."""
    expectations: Expectations
    tags: frozenset[str] = frozenset()
    """Those of the deployment."""
    is_supervised: bool
    """Whether the monitoring may cancel its late runs and end its lost ones: by a tag of its own."""

    @property
    def specs(self) -> list[ScheduleSpec]:
        """The schedule, to compute with."""
        return cast("list[ScheduleSpec]", self.schedule)

    @property
    def is_judged_by_ticks(self) -> bool:
        """Whether it is late after a tick. Without `within`, a job of plain intervals is late after 2 intervals."""
        counting = (spec for spec in self.specs if spec["active"] or self.paused)
        return self.expectations.within is not None or any(spec["interval"] is None for spec in counting)


async def read_live_jobs(client: PrefectClient, now: datetime) -> list[LiveJob]:
    """Read the monitored jobs on the server, by name: three requests for each 200. Raises httpx.HTTPError."""
    monitored = DeploymentFilter(tags=DeploymentFilterTags(all_=[MONITORED_TAG]))
    jobs: list[LiveJob] = []
    async for page in deployment_pages(client, deployment_filter=monitored):
        flows = await _flow_names(client, {deployment.flow_id for deployment in page})
        planned = await _planned(client, [deployment.id for deployment in page], now)
        jobs += [
            _live_job(flows[deployment.flow_id], deployment, planned.get(deployment.id, ()), now)
            for deployment in page
            # A flow that was deleted since took its deployments with it.
            if deployment.flow_id in flows
        ]
    return sorted(jobs, key=lambda job: job.job_name)


async def deployment_pages(client: PrefectClient, **filters: Any) -> AsyncGenerator[list[DeploymentResponse]]:
    """Yield the deployments that the filters find, each once, at most 200 at a time.

    Raises httpx.HTTPError, and UnexpectedAnswer.

    Newest first: by name, which is Prefect's own order, many are alike, and PostgreSQL puts those in another order in
    each answer. One that appears meanwhile moves others to where they are read twice; of those that are deleted
    meanwhile, as many as are read twice may go before another moves out of sight.
    """
    seen: set[UUID] = set()
    offset = 0
    while page := await client.read_deployments(**filters, sort=DeploymentSort.CREATED_DESC, limit=PAGE, offset=offset):
        for deployment in page:
            require(deployment, "id", "tags", "paused", "schedules")
            for schedule in deployment.schedules:
                require(schedule, "active")
        if new := [deployment for deployment in page if deployment.id not in seen]:
            yield new
        if len(page) < PAGE:
            break
        if not new:
            raise UnexpectedAnswer("read_deployments", REPEATS)
        seen.update(deployment.id for deployment in page)
        offset += len(page) - _READ_TWICE


def _live_job(flow: str, deployment: DeploymentResponse, planned: Sequence[datetime], now: datetime) -> LiveJob:
    schedule: list[dict[str, Any]] = [
        {**spec_of(each), "active": each.active and not deployment.paused} for each in deployment.schedules
    ]
    lacks_runs, far_tick = (False, None) if planned else _unplanned(cast("list[ScheduleSpec]", schedule), now)
    return LiveJob(
        job_name=job_name_of(flow, deployment.name),
        full_name=f"{flow}/{deployment.name}",
        deployment_id=deployment.id,
        schedule=sorted(schedule, key=canonical_json),
        paused=not any(spec["active"] for spec in schedule),
        is_unscheduled=not schedule and not deployment.paused,
        changed_at=max(_changes(deployment), default=now),
        next_run_at=min(planned, default=far_tick),
        planned_runs=len(planned),
        lacks_runs=lacks_runs,
        work_pool=deployment.work_pool_name,
        heartbeat_seconds=_heartbeat_seconds(deployment.job_variables),
        expectations=parse_tags(deployment.tags),
        tags=frozenset(deployment.tags),
        is_supervised=SUPERVISED_TAG in deployment.tags,
    )


def _unplanned(specs: Sequence[ScheduleSpec], now: datetime) -> tuple[bool, datetime | None]:
    """Whether the scheduler should have planned runs by these schedules; if not, the next tick, if one is to come."""
    try:
        tick = next(iter(next_ticks(specs, now, 1)), None)
    except InvalidSchedule:
        return True, None
    if tick is None or tick > now + PLANNED_AHEAD:
        return False, tick
    return True, None


def spec_of(schedule: DeploymentSchedule) -> ScheduleSpec:
    """Turn the schedule into what is stored and computed with."""
    rule = schedule.schedule
    spec = ScheduleSpec(
        interval=None,
        anchor=None,
        cron=None,
        rrule=None,
        timezone=None,
        active=schedule.active,
        slug=schedule.slug,
    )
    match rule:
        case IntervalSchedule():
            spec["interval"] = rule.interval.total_seconds()
            spec["anchor"] = rule.anchor_date.isoformat()
        case CronSchedule():
            spec["cron"] = rule.cron
            spec["day_or"] = rule.day_or
        case RRuleSchedule():
            spec["rrule"] = rule.rrule
        case NoSchedule():
            spec["active"] = False
            return spec
    spec["timezone"] = rule.timezone
    return spec


def _changes(deployment: DeploymentResponse) -> Iterable[datetime]:
    for each in (deployment, *deployment.schedules):
        if (at := each.updated or each.created) is not None:
            yield at


def _heartbeat_seconds(job_variables: Mapping[str, Any]) -> float:
    """What the deployment sets, where that is a number: its variables may hold anything, such as a template."""
    environment: object = job_variables.get("env")
    try:
        seconds = float(cast("dict[str, Any]", environment)[_HEARTBEAT_SETTING])
    except (TypeError, KeyError, ValueError, OverflowError):
        return DEFAULT_HEARTBEAT_SECONDS
    return seconds if LEAST_HEARTBEAT_SECONDS <= seconds <= MOST_HEARTBEAT_SECONDS else DEFAULT_HEARTBEAT_SECONDS


async def _flow_names(client: PrefectClient, ids: Iterable[UUID]) -> dict[UUID, str]:
    flows = await client.read_flows(flow_filter=FlowFilter(id=FlowFilterId(any_=list(ids))), limit=PAGE)
    for flow in flows:
        require(flow, "id")
    return {flow.id: flow.name for flow in flows}


async def _planned(client: PrefectClient, deployment_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[datetime]]:
    """When the scheduler will start each deployment, as far as it has planned."""
    planned: dict[UUID, list[datetime]] = {}
    ahead = FlowRunFilterExpectedStartTime(after_=now)  # pyright: ignore[reportArgumentType]  # pendulum's own type
    scheduled = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=list(deployment_ids)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=ahead,
    )
    for run in await read_runs(client, scheduled):
        if run.auto_scheduled and run.deployment_id is not None and run.expected_start_time is not None:
            planned.setdefault(run.deployment_id, []).append(run.expected_start_time)
    return planned
