"""Which jobs are expected to run, and when: copied from the live deployments, so that it can be told with Prefect away.

A job is a flow with a deployment that is tagged `monitored`; several such deployments of one flow are one job with all
their schedules. The copy remembers the past as well: `schedule_history` says what was expected at any time since.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import structlog
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
from prefect.client.schemas.sorting import FlowRunSort
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.types import canonical_json
from flows.monitoring.jobs.registry import (
    JobRow,
    ScheduleEntry,
    SeenJob,
    append_schedule,
    read_jobs,
    retire_job,
    schedule_history,
    write_job,
)
from flows.monitoring.jobs.schedules import InvalidSchedule, ScheduleSpec, longest_gap_seconds
from flows.monitoring.prefect_runs import PAGE, flow_names, server_now
from flows.monitoring.vocabulary import MONITORED_TAG

_TICK_OF_A_CLOCK = timedelta(microseconds=1)

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class LiveJob:
    """A job as the server has it now."""

    job_name: str
    deployment_id: UUID
    schedule: list[dict[str, Any]]
    """Every schedule of every deployment, as `ScheduleSpec`; those of a paused deployment are not active."""
    paused: bool
    """Whether nothing is scheduled: every deployment is paused, or no schedule is active."""
    changed_at: datetime
    """When a deployment or schedule was last changed."""
    next_run_at: datetime | None
    planned_runs: int

    @property
    def specs(self) -> list[ScheduleSpec]:
        """The schedule, to compute with."""
        return cast("list[ScheduleSpec]", self.schedule)


@dataclass(frozen=True)
class Synced:
    """What a comparison with the live deployments changed: the names of the jobs."""

    jobs: tuple[str, ...]
    appeared: tuple[str, ...]
    rescheduled: tuple[str, ...]
    retired: tuple[str, ...]


async def sync_expectations(client: PrefectClient, engine: AsyncEngine, now: datetime | None = None) -> Synced:
    """Bring `monitored_jobs` and `schedule_history` to what the server has deployed. Safe to repeat.

    1. Read everything from the server, before any lock is taken on the database.
    2. Insert new jobs and update known ones. `since` moves only when a job comes back, is resumed or rescheduled, so
       that it is not overdue at once.
    3. Append to the history where the schedules changed, as of the time at which the server says that they did.
    4. Retire the jobs whose deployment is gone.

    `now` is the server's clock unless given. Raises httpx.HTTPError when the server cannot be asked, and
    DatabaseUnavailable.
    """
    now = now or await server_now(client)
    live = await read_live_jobs(client, now)
    async with engine.begin() as connection:
        return await _store(connection, live, now)


async def read_live_jobs(client: PrefectClient, now: datetime) -> list[LiveJob]:
    """The monitored jobs on the server, by name."""
    deployments: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[MONITORED_TAG])),
        limit=PAGE,
        offset=len(deployments),
    ):
        deployments.extend(page)
    by_flow: dict[UUID, list[DeploymentResponse]] = {}
    for deployment in sorted(deployments, key=lambda each: (each.created or now, each.id)):
        by_flow.setdefault(deployment.flow_id, []).append(deployment)
    names = await flow_names(client, FlowFilter(id=FlowFilterId(any_=list(by_flow))))
    planned = await _planned(client, [deployment.id for deployment in deployments], now)
    jobs = [_live_job(names[flow_id], group, planned, now) for flow_id, group in by_flow.items() if flow_id in names]
    return sorted(jobs, key=lambda job: job.job_name)


def current_entry(live: LiveJob, history: Sequence[ScheduleEntry], now: datetime) -> ScheduleEntry | None:
    """The entry that the job's history lacks, or None if its last one is what the server has now."""
    if history and _is_same(history[-1], live.schedule, live.paused):
        return None
    valid_from = min(live.changed_at, now)
    if history:
        # Clocks may differ, but the history only grows.
        valid_from = max(valid_from, history[-1].valid_from + _TICK_OF_A_CLOCK)
    return ScheduleEntry(valid_from, live.schedule, live.paused)


def last_entry(job: SeenJob, history: Sequence[ScheduleEntry], now: datetime) -> ScheduleEntry:
    """The entry that ends the history of a job whose deployment is gone.

    When it was deleted is not known: nothing is asked of the time since it was last seen.
    """
    valid_from = min(job.updated_at, now)
    if history:
        valid_from = max(valid_from, history[-1].valid_from + _TICK_OF_A_CLOCK)
    return ScheduleEntry(valid_from, [], paused=True)


async def _store(connection: AsyncConnection, live: Sequence[LiveJob], now: datetime) -> Synced:
    known = await read_jobs(connection)
    history = await schedule_history(connection)
    appeared: list[str] = []
    rescheduled: list[str] = []
    for job in live:
        stored = known.get(job.job_name)
        is_new = stored is None or stored.retired_at is not None
        entry = current_entry(job, history.get(job.job_name, ()), now)
        if entry is not None:
            await append_schedule(connection, job.job_name, entry)
        if is_new:
            appeared.append(job.job_name)
        elif entry is not None:
            rescheduled.append(job.job_name)
        since = now if stored is None or is_new else entry.valid_from if entry is not None else stored.since
        await write_job(connection, _row(job, since, now))
    gone = [
        job for name, job in known.items() if job.retired_at is None and name not in {each.job_name for each in live}
    ]
    for job in gone:
        await append_schedule(connection, job.job_name, last_entry(job, history.get(job.job_name, ()), now))
        await retire_job(connection, job.job_name, now)
    return Synced(
        jobs=tuple(job.job_name for job in live),
        appeared=tuple(appeared),
        rescheduled=tuple(rescheduled),
        retired=tuple(job.job_name for job in gone),
    )


def _row(job: LiveJob, since: datetime, now: datetime) -> JobRow:
    try:
        interval = longest_gap_seconds(job.specs, now)
    except InvalidSchedule as error:
        logger.warning("schedule_not_understood", job_name=job.job_name, error=str(error))
        interval = None
    return JobRow(
        job_name=job.job_name,
        deployment_id=job.deployment_id,
        interval_seconds=interval or 0.0,
        schedule=job.schedule,
        since=since,
        paused=job.paused,
        retired_at=None,
        next_run_at=job.next_run_at,
        planned_runs=job.planned_runs,
    )


def _live_job(
    name: str,
    deployments: Sequence[DeploymentResponse],
    planned: Mapping[UUID, Sequence[datetime]],
    now: datetime,
) -> LiveJob:
    schedule: list[dict[str, Any]] = [
        {**spec_of(each), "active": each.active and not deployment.paused}
        for deployment in deployments
        for each in deployment.schedules
    ]
    upcoming = [at for deployment in deployments for at in planned.get(deployment.id, ())]
    return LiveJob(
        job_name=name,
        deployment_id=deployments[0].id,
        schedule=sorted(schedule, key=canonical_json),
        paused=not any(spec["active"] for spec in schedule),
        changed_at=max(_changes(deployments), default=now),
        next_run_at=min(upcoming, default=None),
        planned_runs=len(upcoming),
    )


def spec_of(schedule: DeploymentSchedule) -> ScheduleSpec:
    """The schedule as it is stored and computed with."""
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


def _changes(deployments: Sequence[DeploymentResponse]) -> Iterable[datetime]:
    for each in (*deployments, *(schedule for deployment in deployments for schedule in deployment.schedules)):
        if (at := each.updated or each.created) is not None:
            yield at


def _is_same(entry: ScheduleEntry, schedule: list[dict[str, Any]], paused: bool) -> bool:
    return entry.paused == paused and canonical_json(entry.schedule) == canonical_json(schedule)


async def _planned(client: PrefectClient, deployment_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[datetime]]:
    """When the scheduler will start each deployment, as far as it has planned."""
    planned: dict[UUID, list[datetime]] = {}
    ahead = FlowRunFilterExpectedStartTime(after_=now)  # pyright: ignore[reportArgumentType]  # pendulum's own type
    scheduled = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=list(deployment_ids)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=ahead,
    )
    offset = 0
    while deployment_ids and (
        page := await client.read_flow_runs(
            flow_run_filter=scheduled, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset
        )
    ):
        offset += len(page)
        for run in page:
            if run.auto_scheduled and run.deployment_id is not None and run.expected_start_time is not None:
                planned.setdefault(run.deployment_id, []).append(run.expected_start_time)
    return planned
