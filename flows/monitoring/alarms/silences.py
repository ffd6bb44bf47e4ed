"""Silences: people are not told of a job for a time. They mute messages, and change no verdict, row or event.

A silence ends by itself: at its time, or, for an acknowledgement, when the job is healthy again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.types import utc_now
from flows.monitoring.tables import MonitoredJob, Silence
from flows.monitoring.verdicts.wording import clock
from flows.monitoring.vocabulary import Verdict

_SILENCES = table_of(Silence)
_JOBS = table_of(MonitoredJob)


@dataclass(frozen=True, kw_only=True)
class SilenceRow:
    """A silence that is in force. `until` is None for an acknowledgement, which lasts until the job has recovered."""

    id: int
    job_name: str
    reason: str
    created_at: datetime
    until: datetime | None


async def active_silences(connection: AsyncConnection) -> list[SilenceRow]:
    """Read the silences that are in force by the database's clock, by job, the one that ends last first."""
    columns = [_SILENCES.c[field.name] for field in fields(SilenceRow)]
    statement = (
        select(*columns)
        .where(_SILENCES.c.lifted_at.is_(None), or_(_SILENCES.c.until.is_(None), _SILENCES.c.until > utc_now()))
        .order_by(_SILENCES.c.job_name, _SILENCES.c.until.is_not(None), _SILENCES.c.until.desc(), _SILENCES.c.id)
    )
    return [SilenceRow(**row) for row in (await connection.execute(statement)).mappings()]


async def silence(
    connection: AsyncConnection, job_names: Collection[str], *, until: datetime | None, reason: str
) -> None:
    """Silence the jobs until then, or, with None, until each is healthy again."""
    if job_names:
        await connection.execute(
            insert(_SILENCES),
            [{"job_name": name, "until": until, "reason": reason} for name in sorted(job_names)],
        )


async def lift(connection: AsyncConnection, job_names: Collection[str]) -> list[str]:
    """End the silences of the jobs, and return the names of those that had one."""
    names = sorted({row.job_name for row in await active_silences(connection) if row.job_name in job_names})
    await connection.execute(
        update(_SILENCES)
        .where(_SILENCES.c.job_name.in_(names), _SILENCES.c.lifted_at.is_(None))
        .values(lifted_at=utc_now())
    )
    return names


async def end_acknowledgements(connection: AsyncConnection) -> None:
    """End those of jobs that are no longer unhealthy."""
    unhealthy = select(_JOBS.c.job_name).where(_JOBS.c.status == Verdict.UNHEALTHY)
    await connection.execute(
        update(_SILENCES)
        .where(_SILENCES.c.until.is_(None), _SILENCES.c.lifted_at.is_(None), _SILENCES.c.job_name.not_in(unhealthy))
        .values(lifted_at=utc_now())
    )


def explain_silence(silence: SilenceRow, now: datetime) -> str:
    """Say until when, and why, people are not told of the job."""
    until = "it has recovered" if silence.until is None else clock(silence.until, now)
    return f"Silenced until {until}: {silence.reason}"


def names_silenced(silences: Sequence[SilenceRow]) -> set[str]:
    """Return the jobs that people are not told of."""
    return {silence.job_name for silence in silences}
