"""A planned stop of the workers: people are not told of the jobs while it lasts, nor before each could run again."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.monitoring.alarms.silences import silence
from flows.monitoring.jobs.registry import read_jobs
from flows.monitoring.tables import Silence

REASON = "planned stop (vibecheck drain)"
# After it, a job has the time to its next tick to run again; of one that ticks more seldom people want to hear.
LONGEST_WAIT = timedelta(hours=1)
# A run may start late, and its end be judged twice.
GRACE = timedelta(minutes=10)

_SILENCES = table_of(Silence)


async def begin_planned_stop(connection: AsyncConnection, jobs: Collection[str], duration: timedelta) -> datetime:
    """Silence `jobs` for so long at most, and return until when."""
    until = await database_now(connection) + duration
    known = await read_jobs(connection)
    await silence(connection, sorted(known.keys() & set(jobs)), until=until, reason=REASON)
    return until


async def end_planned_stop(connection: AsyncConnection, jobs: Collection[str]) -> None:
    """End its silences as soon as each job has had the time to run again, at most 70 minutes from now."""
    now = await database_now(connection)
    for name, job in (await read_jobs(connection)).items():
        if name not in jobs:
            continue
        end = now + min(timedelta(seconds=job.interval_seconds), LONGEST_WAIT) + GRACE
        await connection.execute(
            update(_SILENCES)
            .where(_SILENCES.c.job_name == name, _SILENCES.c.reason == REASON, _SILENCES.c.until > end)
            .values(until=end)
        )
