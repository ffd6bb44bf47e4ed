"""Jobs that were judged before, and the changes of verdict that judging them again stores."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.workers import AbsentWorker
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.stored import (
    Transition,
    TransitionRow,
    change_verdict,
    unsent_transitions,
)
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, ran_every, seed

NEWS = "poll_news"


async def told(engine: AsyncEngine, job_name: str = NEWS) -> list[TransitionRow]:
    """The changes that were stored, but for the first verdict on a new job."""
    async with reading(engine) as connection:
        rows = await unsent_transitions(connection, 100)
    return [row for row in rows if row.job_name == job_name and not row.details.get("seeded")]


async def turns(engine: AsyncEngine, job_name: str = NEWS) -> list[tuple[str, str, str | None]]:
    return [(row.from_status, row.to_status, row.reason) for row in await told(engine, job_name)]


async def judge_times(engine: AsyncEngine, times: int, absent: Mapping[str, AbsentWorker] | None = None) -> None:
    for _ in range(times):
        await judge(engine, Settings(), absent)


async def known(
    engine: AsyncEngine, job_name: str, status: str, reason: str | None, *, at: datetime, since: str = "not_started"
) -> None:
    """Store a verdict, as a judgement in the past has done."""
    change = Transition(
        job_name=job_name, from_status=since, to_status=status, reason=reason, at=at, details={"seeded": True}
    )
    async with engine.begin() as connection:
        assert await change_verdict(connection, change, from_reason=None)


async def once_healthy(engine: AsyncEngine, last_run: timedelta, *rows: LogRow, **expectation: object) -> datetime:
    """`poll_news`, every 15 minutes, was judged healthy yesterday and ran last so long ago. Return the time."""
    now = await clock(engine)
    jobs = [expected(NEWS, now, **expectation), expected("pipeline_status", now, every_minutes=5)]  # pyright: ignore[reportArgumentType]  # any field
    await seed(engine, jobs, [ran(NEWS, now - last_run), *ran_every("pipeline_status", now, 5, 3), *rows])
    for job in jobs:
        await known(engine, job.job_name, "healthy", None, at=now - timedelta(days=1))
    return now


async def once_overdue(engine: AsyncEngine, *rows: LogRow) -> datetime:
    """`poll_news` ran last 100 minutes ago, and has been known as overdue since 70 minutes ago. Return the time."""
    now = await once_healthy(engine, 100 * MINUTE, *rows)
    await known(engine, NEWS, "unhealthy", "overdue", at=now - 70 * MINUTE, since="healthy")
    return now
