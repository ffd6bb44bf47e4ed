"""Expected jobs and log rows for the tests of the health report, placed by the database's own clock."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.monitoring.jobs.registry import StoredJob, write_jobs
from flows.monitoring.log.rows import LogRow, insert_row

MINUTE = timedelta(minutes=1)


def interval_schedule(minutes: float) -> list[dict[str, Any]]:
    """A stored schedule of every so many minutes, on the grid of the full hour."""
    return [
        {
            "interval": minutes * 60.0,
            "anchor": "2026-01-01T00:00:00+00:00",
            "cron": None,
            "rrule": None,
            "timezone": "UTC",
            "active": True,
            "slug": "grid",
        }
    ]


def expected(name: str, now: datetime, *, every_minutes: float = 15, **changes: Any) -> StoredJob:
    """A job that has been expected for 40 days, and is due within the interval."""
    job = StoredJob(
        job_name=name,
        deployment_id=uuid4(),
        interval_seconds=every_minutes * 60,
        schedule=interval_schedule(every_minutes),
        since=now - timedelta(days=40),
        paused=False,
        retired_at=None,
        next_run_at=now + timedelta(minutes=every_minutes / 2),
        planned_runs=4,
    )
    return replace(job, **changes)


def ran(name: str, started_at: datetime, status: str = "success", *, seconds: float = 4.0, **changes: Any) -> LogRow:
    """A row of the execution log; one that is `running` has no end."""
    is_open = status == "running"
    row = LogRow(
        execution_id=uuid4(),
        job_name=name,
        status=status,
        scheduled_for=started_at,
        attempt=0 if status in ("skipped", "missed") else 1,
        started_at=started_at,
        completed_at=None if is_open else started_at + timedelta(seconds=seconds),
        duration_seconds=None if is_open else seconds,
        error_message="It broke." if status == "failure" else None,
        details={},
        closed_by=None if is_open else "flow",
    )
    return replace(row, **changes)


def ran_every(name: str, now: datetime, minutes: float, count: int, **changes: Any) -> list[LogRow]:
    """The last `count` runs of a job that runs every so many minutes, the newest one minute old."""
    return [ran(name, now - MINUTE - timedelta(minutes=minutes * number), **changes) for number in range(count)]


async def seed(engine: AsyncEngine, jobs: Sequence[StoredJob] = (), rows: Iterable[LogRow] = ()) -> None:
    """Commit the jobs and rows."""
    async with engine.begin() as connection:
        await write_jobs(connection, jobs)
        for row in rows:
            await insert_row(connection, row)


def budget(used: int, limit: int = 20_000) -> dict[str, Any]:
    """What a row's details say of a budget."""
    return {"name": "AskNews credits", "used": used, "limit": limit, "since": "2026-09-01", "warn_from": 0.9}


async def seed_healthy(engine: AsyncEngine) -> datetime:
    """A pipeline in which all is well: two jobs and the status flow. Return the database's time."""
    now = await clock(engine)
    details = {"inserted": 3, "updated": 1, "unchanged": 0, "rejected": 0, "fetched": 4, "budget": budget(45)}
    await seed(
        engine,
        [
            expected("poll_news", now),
            expected("poll_stories", now, every_minutes=60),
            expected("pipeline_status", now, every_minutes=5),
        ],
        [
            *ran_every("poll_news", now, 15, 8, details=details),
            *ran_every("poll_stories", now, 60, 8, details=details),
            *ran_every("pipeline_status", now, 5, 8),
        ],
    )
    return now


async def clock(engine: AsyncEngine) -> datetime:
    """The database's time."""
    async with engine.connect() as connection:
        return await database_now(connection)
