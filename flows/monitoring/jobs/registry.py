"""What is expected of the jobs: which ones there are, how often they are due, and how that changed over time.

The verdict columns of `monitored_jobs` are none of this module's business: it fills them for a new job and then leaves
them alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from flows.database.base import table_of
from flows.database.types import utc_now
from flows.database.upserts import insert_into
from flows.monitoring.paging import pages
from flows.monitoring.tables import ExecutionLog, JobTransition, MonitoredJob, OpenIncident, ScheduleHistory, Silence
from flows.monitoring.vocabulary import Verdict

_JOBS = table_of(MonitoredJob)
_ABSENCE = ("absent_work_pool", "worker_absent_since", "absence_noted_at")


@dataclass(frozen=True)
class StoredJob:
    """A row of `monitored_jobs` without its verdict. `interval_seconds` is 0 for a job that nothing schedules.

    One that has lost its schedule is not `paused`, and its `schedule` is empty; so is one that never had any, whose
    `ticks` are known: none.
    """

    job_name: str
    deployment_id: UUID | None
    interval_seconds: float
    schedule: list[dict[str, Any]]
    since: datetime
    paused: bool
    retired_at: datetime | None
    next_run_at: datetime | None
    planned_runs: int
    expectations: dict[str, Any] | None = None
    """What its tags say, as `Expectations.as_json`."""
    earlier_deployment_id: UUID | None = None
    """What its deployment was before it was deleted and made again."""
    ticks: list[str] | None = None
    """The first ticks after its last run, as that was known then, or since it is expected. None where the rule of
    2 intervals holds."""
    lost_schedules: list[dict[str, Any]] | None = None
    """Those that its deployment has lost since `since` while it kept others."""
    updated_at: datetime | None = None
    """When it was last compared with the server: by the database's clock, which sets it."""
    absent_work_pool: str | None = None
    """Its work pool, if no worker polled that when the status flow last looked, at `absence_noted_at`."""
    worker_absent_since: datetime | None = None
    """When a worker last polled it; None if none ever did."""
    absence_noted_at: datetime | None = None


@dataclass(frozen=True)
class AbsentWorker:
    """A work pool that no worker polls; `since` is None if none ever did."""

    work_pool: str
    since: datetime | None


@dataclass(frozen=True)
class ScheduleEntry:
    """The schedules that a job had from `valid_from` on, until its next entry."""

    valid_from: datetime
    schedule: list[dict[str, Any]]
    paused: bool


async def read_jobs(connection: AsyncConnection) -> dict[str, StoredJob]:
    """Read every job that was ever monitored, by its name."""
    names = list(StoredJob.__dataclass_fields__)
    rows = await connection.execute(select(*(_JOBS.c[name] for name in names)).order_by(_JOBS.c.job_name))
    return {row["job_name"]: StoredJob(**row) for row in rows.mappings()}


def deployments_of(jobs: Mapping[str, StoredJob]) -> dict[UUID, str]:
    """Return the names of the jobs by the ids of their deployments, and of those that these have replaced."""
    earlier = {id_: name for name, job in jobs.items() if (id_ := job.earlier_deployment_id) is not None}
    return earlier | {id_: name for name, job in jobs.items() if (id_ := job.deployment_id) is not None}


async def write_jobs(connection: AsyncConnection, jobs: Sequence[StoredJob]) -> None:
    """Insert the jobs, or bring them up to date; their verdicts, and whether they have workers, stay as they are."""
    names = [name for name in StoredJob.__dataclass_fields__ if name not in (*_ABSENCE, "updated_at")]
    statement = insert_into(connection, MonitoredJob).values(updated_at=utc_now())
    changes = {name: statement.excluded[name] for name in names if name != "job_name"} | {"updated_at": utc_now()}
    statement = statement.on_conflict_do_update(index_elements=["job_name"], set_=changes)
    for page in pages(sorted(jobs, key=lambda job: job.job_name)):
        rows = [
            {name: getattr(job, name) for name in names}
            | {"status": Verdict.NOT_STARTED, "status_since": job.since, "bad_streak": 0}
            for job in page
        ]
        await connection.execute(statement, rows)


async def rename_job(connection: AsyncConnection, old: str, new: str) -> None:
    """Call a job by another name, with all its past. There must be none of that name."""
    for table in map(table_of, (MonitoredJob, ScheduleHistory, ExecutionLog, JobTransition, OpenIncident, Silence)):
        await connection.execute(update(table).where(table.c.job_name == old).values(job_name=new))


async def retire_jobs(connection: AsyncConnection, job_names: Collection[str], at: datetime) -> None:
    """Note that nothing is expected of the jobs any more."""
    retired = update(_JOBS).values(retired_at=at, next_run_at=None, planned_runs=0, updated_at=utc_now())
    for page in pages(sorted(job_names)):
        await connection.execute(retired.where(_JOBS.c.job_name.in_(page)))


async def note_absent_workers(connection: AsyncConnection, absent: Mapping[str, AbsentWorker | None]) -> None:
    """Note for which jobs, by name, nobody was there to execute them, and for which somebody was (None).

    Of other jobs nothing new is known, and what was noted stays.
    """
    none = dict.fromkeys(_ABSENCE)
    served = [name for name, worker in absent.items() if worker is None]
    await connection.execute(
        update(_JOBS).where(_JOBS.c.absence_noted_at.is_not(None), _JOBS.c.job_name.in_(served)).values(none)
    )
    for worker in {worker for worker in absent.values() if worker is not None}:
        found = {
            "absent_work_pool": worker.work_pool,
            "worker_absent_since": worker.since,
            "absence_noted_at": utc_now(),
        }
        for page in pages(sorted(name for name, other in absent.items() if other == worker)):
            await connection.execute(update(_JOBS).where(_JOBS.c.job_name.in_(page)).values(found))


async def append_schedules(connection: AsyncConnection, entries: Mapping[str, ScheduleEntry]) -> None:
    """Add an entry to each job's history. One for the same moment is kept: two who saw the change wrote the same."""
    statement = insert_into(connection, ScheduleHistory)
    statement = statement.on_conflict_do_nothing(index_elements=["job_name", "valid_from"])
    for page in pages(sorted(entries)):
        await connection.execute(statement, [{"job_name": name, **asdict(entries[name])} for name in page])


async def schedule_history(
    connection: AsyncConnection, since: datetime | None = None
) -> Mapping[str, Sequence[ScheduleEntry]]:
    """Read each job's entries, oldest first: those that were valid at `since` or later, or all of them."""
    statement = select(
        ScheduleHistory.job_name, ScheduleHistory.valid_from, ScheduleHistory.schedule, ScheduleHistory.paused
    ).order_by(ScheduleHistory.job_name, ScheduleHistory.valid_from)
    if since is not None:
        earlier = aliased(ScheduleHistory)
        valid_at_since = (
            select(func.max(earlier.valid_from))
            .where(earlier.job_name == ScheduleHistory.job_name, earlier.valid_from <= since)
            .scalar_subquery()
        )
        statement = statement.where(
            or_(ScheduleHistory.valid_from > since, ScheduleHistory.valid_from == valid_at_since)
        )
    history: dict[str, list[ScheduleEntry]] = {}
    for row in await connection.execute(statement):
        history.setdefault(row.job_name, []).append(ScheduleEntry(row.valid_from, row.schedule, row.paused))
    return history
