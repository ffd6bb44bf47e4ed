"""The monitoring's tables. What a column means for a reader of the log is told in `docs/execution-log.md`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from flows.database.base import Base
from flows.database.types import Json, utc_now

# The conditions of the partial indexes. A query finds such an index only if it repeats the condition word for word,
# with its literals: that is why queries take them from here and not from bound parameters.
RAN = "status NOT IN ('skipped', 'cancelled', 'missed')"
SUCCEEDED = "status = 'success'"
OPEN = "status = 'running'"
UNSENT = "event_emitted_at IS NULL"


def _surrogate_key() -> Mapped[int]:
    # SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
    return mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


class ExecutionLog(Base):
    """One row for each run of a job, and for each tick that had no run."""

    __tablename__ = "scheduler_execution_log"
    __table_args__ = (
        Index("ix_scheduler_execution_log_started_at", "started_at"),
        # `id` breaks ties, so that "the newest row" is one row and an index lookup.
        Index("ix_scheduler_execution_log_job_name_started_at", "job_name", "started_at", "id"),
        *(
            Index(
                f"ix_scheduler_execution_log_{name}",
                "job_name",
                "started_at",
                "id",
                postgresql_where=text(condition),
                sqlite_where=text(condition),
            )
            for name, condition in (("ran", RAN), ("succeeded", SUCCEEDED))
        ),
        Index("ix_scheduler_execution_log_open", "started_at", postgresql_where=text(OPEN), sqlite_where=text(OPEN)),
    )

    id: Mapped[int] = _surrogate_key()
    execution_id: Mapped[UUID] = mapped_column(unique=True)
    job_name: Mapped[str]
    status: Mapped[str]
    scheduled_for: Mapped[datetime | None]
    attempt: Mapped[int]
    started_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None]
    error_message: Mapped[str | None]
    # The declarative base has an attribute `metadata` of its own.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", Json)
    closed_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class MonitoredJob(Base):
    """A job that is expected to run, and the last verdict on it."""

    __tablename__ = "monitored_jobs"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[UUID | None]
    earlier_deployment_id: Mapped[UUID | None]
    interval_seconds: Mapped[float]
    schedule: Mapped[list[dict[str, Any]]]
    since: Mapped[datetime]
    paused: Mapped[bool]
    retired_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    planned_runs: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    status: Mapped[str]
    reason: Mapped[str | None]
    status_since: Mapped[datetime]
    last_notified_at: Mapped[datetime | None]
    bad_streak: Mapped[int]
    absent_work_pool: Mapped[str | None]
    worker_absent_since: Mapped[datetime | None]
    absence_noted_at: Mapped[datetime | None]
    expectations: Mapped[dict[str, Any] | None]
    ticks: Mapped[list[str] | None]
    lost_schedules: Mapped[list[dict[str, Any]] | None]


class ScheduleHistory(Base):
    """The schedules that a job had from `valid_from` until its next row: what `verify` expects of the past."""

    __tablename__ = "schedule_history"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(primary_key=True)
    schedule: Mapped[list[dict[str, Any]]]
    paused: Mapped[bool]


class JobTransition(Base):
    """A change of a job's verdict; it stays an unsent notice until its event was emitted."""

    __tablename__ = "job_transitions"
    __table_args__ = (
        Index(None, "job_name", "at"),
        Index("ix_job_transitions_unsent", "id", postgresql_where=text(UNSENT), sqlite_where=text(UNSENT)),
    )

    id: Mapped[int] = _surrogate_key()
    job_name: Mapped[str]
    from_status: Mapped[str]
    to_status: Mapped[str]
    reason: Mapped[str | None]
    at: Mapped[datetime]
    noticed_at: Mapped[datetime]
    details: Mapped[dict[str, Any]]
    event_emitted_at: Mapped[datetime | None]


class AlarmReceiver(Base):
    """A receiver of alarms, and whether it took the last message. `failing_since` is null if it did."""

    __tablename__ = "alarm_receivers"

    name: Mapped[str] = mapped_column(primary_key=True)
    failing_since: Mapped[datetime | None]
    error: Mapped[str | None]
    last_delivered_at: Mapped[datetime | None]


class OpenIncident(Base):
    """That a receiver was told of something, and not yet that it is over. `warning` is null for an outage."""

    __tablename__ = "open_incidents"

    receiver: Mapped[str] = mapped_column(primary_key=True)
    incident: Mapped[str] = mapped_column(primary_key=True)
    job_name: Mapped[str]
    warning: Mapped[str | None]
    opened_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class Silence(Base):
    """That people are not told of a job: until `until`, or, where that is null, until the job is healthy again."""

    __tablename__ = "silences"
    __table_args__ = (Index(None, "job_name"),)

    id: Mapped[int] = _surrogate_key()
    job_name: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    until: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class ReconcilerWatermark(Base):
    """How far the log has been reconciled with the server. One row."""

    __tablename__ = "reconciler_watermark"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reconciled_until: Mapped[datetime]
