"""The verdict on each monitored job, and the changes of verdict that people are to be told.

What is expected of the jobs, in the same table, is written by `flows.monitoring.jobs.registry`.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.database.types import utc_now
from flows.monitoring.tables import UNSENT, JobTransition, MonitoredJob
from flows.monitoring.vocabulary import Verdict

_JOBS = table_of(MonitoredJob)
_TRANSITIONS = table_of(JobTransition)


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """The last verdict on a job. `bad_streak` counts the judgements in a row that found it unhealthy."""

    job_name: str
    status: str
    reason: str | None
    status_since: datetime
    last_notified_at: datetime | None
    bad_streak: int


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A change of a job's verdict. It happened `at`, which is before it was noticed."""

    job_name: str
    from_status: str
    to_status: str
    reason: str | None
    at: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TransitionRow(Transition):
    """A row of `job_transitions`; `event_emitted_at` is None while it waits to be told."""

    id: int
    noticed_at: datetime
    event_emitted_at: datetime | None


async def read_verdicts(connection: AsyncConnection, retired: Collection[str] = ()) -> dict[str, VerdictRow]:
    """The last verdict on each job that is expected to run, by the job's name; and on the `retired` jobs named."""
    return await _read_verdicts(connection, or_(_JOBS.c.retired_at.is_(None), _JOBS.c.job_name.in_(retired)))


async def retired_while_unhealthy(connection: AsyncConnection) -> dict[str, VerdictRow]:
    """The jobs of which nothing is expected any more, and whose last verdict is still that they are unhealthy."""
    return await _read_verdicts(
        connection, and_(_JOBS.c.retired_at.is_not(None), _JOBS.c.status == literal(Verdict.UNHEALTHY))
    )


async def _read_verdicts(connection: AsyncConnection, condition: ColumnElement[bool]) -> dict[str, VerdictRow]:
    columns = [_JOBS.c[field.name] for field in fields(VerdictRow)]
    rows = await connection.execute(select(*columns).where(condition).order_by(_JOBS.c.job_name))
    return {row["job_name"]: VerdictRow(**row) for row in rows.mappings()}


async def change_verdict(connection: AsyncConnection, transition: Transition, *, from_reason: str | None) -> bool:
    """Change a job's verdict from what `transition` says it was, and put the change among the unsent notices.

    Return False, and changes nothing, if the verdict is another one by now: of several that notice a change, one makes
    it. `from_reason` belongs to `from_status`.
    """
    changed = await connection.execute(
        update(_JOBS)
        .where(
            _JOBS.c.job_name == transition.job_name,
            _JOBS.c.status == transition.from_status,
            _JOBS.c.reason.is_not_distinct_from(from_reason),
        )
        .values(status=transition.to_status, reason=transition.reason, status_since=transition.at)
    )
    if changed.rowcount == 0:
        return False
    noticed_at = await database_now(connection)
    await connection.execute(insert(_TRANSITIONS).values(**asdict(transition), noticed_at=noticed_at))
    return True


async def unsent_transitions(connection: AsyncConnection, limit: int) -> list[TransitionRow]:
    """The oldest changes of verdict whose event was not emitted yet, in their order."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(TransitionRow)]
    statement = select(*columns).where(text(UNSENT)).order_by(_TRANSITIONS.c.id).limit(limit)
    rows = await connection.execute(statement)
    return [TransitionRow(**row) for row in rows.mappings()]


async def transitions_noticed_since(connection: AsyncConnection, since: datetime, limit: int) -> list[TransitionRow]:
    """The newest changes of verdict that were noticed since then, told or not, in their order."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(TransitionRow)]
    noticed = select(*columns).where(_TRANSITIONS.c.noticed_at >= since)
    rows = await connection.execute(noticed.order_by(_TRANSITIONS.c.id.desc()).limit(limit))
    return [TransitionRow(**row) for row in rows.mappings()][::-1]


async def transitions_of(connection: AsyncConnection, job_name: str, since: datetime) -> list[Transition]:
    """The changes of the job's verdict since then, oldest first."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(Transition)]
    of_job = (_TRANSITIONS.c.job_name == job_name, _TRANSITIONS.c.at >= since)
    rows = await connection.execute(select(*columns).where(*of_job).order_by(_TRANSITIONS.c.at, _TRANSITIONS.c.id))
    return [Transition(**row) for row in rows.mappings()]


async def mark_sent(connection: AsyncConnection, transition_id: int) -> bool:
    """Note that a transition's event was emitted, now. Return False if somebody else has noted it."""
    sent = await connection.execute(
        update(_TRANSITIONS).where(_TRANSITIONS.c.id == transition_id, text(UNSENT)).values(event_emitted_at=utc_now())
    )
    return sent.rowcount == 1


async def note_notified(connection: AsyncConnection, job_name: str) -> None:
    """Note that people were told of the job's state, now: reminders count from here."""
    await connection.execute(update(_JOBS).where(_JOBS.c.job_name == job_name).values(last_notified_at=utc_now()))


async def set_bad_streak(connection: AsyncConnection, job_name: str, bad_streak: int) -> None:
    """Note how many judgements in a row found the job unhealthy."""
    await connection.execute(update(_JOBS).where(_JOBS.c.job_name == job_name).values(bad_streak=bad_streak))
