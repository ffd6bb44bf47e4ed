"""The verdict on each monitored job, and the changes of verdict that people are to be told.

What is expected of the jobs, in the same table, is written by `flows.monitoring.jobs.registry`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, insert, literal, or_, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.database.types import utc_now
from flows.monitoring.paging import pages
from flows.monitoring.tables import UNSENT, JobTransition, MonitoredJob

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


@dataclass(frozen=True)
class Change:
    """A transition that is to be made. `from_reason` belongs to its `from_status`."""

    transition: Transition
    from_reason: str | None


@dataclass(frozen=True, kw_only=True)
class TransitionRow(Transition):
    """A row of `job_transitions`; `event_emitted_at` is None while it waits to be told."""

    id: int
    noticed_at: datetime
    event_emitted_at: datetime | None


async def read_verdicts(connection: AsyncConnection, retired: Collection[str] = ()) -> dict[str, VerdictRow]:
    """Read the last verdict on each job that is expected to run, by the job's name; and on the `retired` jobs named."""
    return await _read_verdicts(connection, or_(_JOBS.c.retired_at.is_(None), _JOBS.c.job_name.in_(retired)))


async def retired_in_trouble(connection: AsyncConnection) -> dict[str, VerdictRow]:
    """Read the jobs of which nothing is expected any more, and whose last verdict still has a reason."""
    return await _read_verdicts(connection, and_(_JOBS.c.retired_at.is_not(None), _JOBS.c.reason.is_not(None)))


async def _read_verdicts(connection: AsyncConnection, condition: ColumnElement[bool]) -> dict[str, VerdictRow]:
    columns = [_JOBS.c[field.name] for field in fields(VerdictRow)]
    rows = await connection.execute(select(*columns).where(condition).order_by(_JOBS.c.job_name))
    return {row["job_name"]: VerdictRow(**row) for row in rows.mappings()}


async def change_verdict(connection: AsyncConnection, transition: Transition, *, from_reason: str | None) -> bool:
    """Do `change_verdicts` for one change, and return whether it was made."""
    return bool(await change_verdicts(connection, [Change(transition, from_reason)]))


async def change_verdicts(connection: AsyncConnection, changes: Sequence[Change]) -> set[str]:
    """Change verdicts from what they are said to have been, and put the changes among the unsent notices.

    Of several that notice a change, one makes it: a job whose verdict is another one by now is left alone. Return the
    names of the jobs whose verdict was changed. At most one change of each job.
    """
    made: set[str] = set()
    for page in pages(sorted(changes, key=lambda change: change.transition.job_name)):
        wanted = union_all(*map(_as_row, page)).subquery()
        changed = await connection.execute(
            update(_JOBS)
            .where(
                _JOBS.c.job_name == wanted.c.job_name,
                _JOBS.c.status == wanted.c.from_status,
                _JOBS.c.reason.is_not_distinct_from(wanted.c.from_reason),
            )
            .values(status=wanted.c.to_status, reason=wanted.c.reason, status_since=wanted.c.at)
            .returning(_JOBS.c.job_name)
        )
        names = set(changed.scalars())
        noticed = [asdict(each.transition) for each in page if each.transition.job_name in names]
        if noticed:
            noticed_at = await database_now(connection)
            await connection.execute(
                insert(_TRANSITIONS).values([{**row, "noticed_at": noticed_at} for row in noticed])
            )
        made |= names
    return made


def _as_row(change: Change) -> Select[*tuple[Any, ...]]:
    """The change as a row of a statement."""
    names = ("job_name", "from_status", "to_status", "reason", "at")
    values = {name: literal(getattr(change.transition, name), _TRANSITIONS.c[name].type) for name in names}
    values["from_reason"] = literal(change.from_reason, _JOBS.c.reason.type)
    return select(*(value.label(name) for name, value in values.items()))


async def unsent_transitions(connection: AsyncConnection, limit: int) -> list[TransitionRow]:
    """Read the oldest changes of verdict whose event was not emitted yet, in their order."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(TransitionRow)]
    statement = select(*columns).where(text(UNSENT)).order_by(_TRANSITIONS.c.id).limit(limit)
    rows = await connection.execute(statement)
    return [TransitionRow(**row) for row in rows.mappings()]


async def transitions_noticed_since(connection: AsyncConnection, since: datetime, limit: int) -> list[TransitionRow]:
    """Read the newest changes of verdict that were noticed since then, told or not, in their order."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(TransitionRow)]
    noticed = select(*columns).where(_TRANSITIONS.c.noticed_at >= since)
    rows = await connection.execute(noticed.order_by(_TRANSITIONS.c.id.desc()).limit(limit))
    return [TransitionRow(**row) for row in rows.mappings()][::-1]


async def transitions_of(connection: AsyncConnection, job_name: str, since: datetime) -> list[Transition]:
    """Read the changes of the job's verdict since then, oldest first."""
    columns = [_TRANSITIONS.c[field.name] for field in fields(Transition)]
    of_job = (_TRANSITIONS.c.job_name == job_name, _TRANSITIONS.c.at >= since)
    rows = await connection.execute(select(*columns).where(*of_job).order_by(_TRANSITIONS.c.at, _TRANSITIONS.c.id))
    return [Transition(**row) for row in rows.mappings()]


async def mark_sent(connection: AsyncConnection, transition_ids: Sequence[int]) -> None:
    """Note that the events of transitions were emitted, now, of those of which nobody has noted it."""
    for page in pages(transition_ids):
        sent = update(_TRANSITIONS).where(_TRANSITIONS.c.id.in_(page), text(UNSENT))
        await connection.execute(sent.values(event_emitted_at=utc_now()))


async def note_notified(connection: AsyncConnection, job_names: Collection[str]) -> None:
    """Note that people were told of the jobs' state, now: reminders count from here."""
    await _update_jobs(connection, job_names, last_notified_at=utc_now())


async def set_bad_streaks(connection: AsyncConnection, streaks: Mapping[str, int]) -> None:
    """Note how many judgements in a row found the jobs unhealthy."""
    for streak in sorted(set(streaks.values())):
        names = [name for name, count in streaks.items() if count == streak]
        await _update_jobs(connection, names, bad_streak=streak)


async def _update_jobs(connection: AsyncConnection, job_names: Collection[str], **values: Any) -> None:
    for page in pages(sorted(job_names)):
        await connection.execute(update(_JOBS).where(_JOBS.c.job_name.in_(page)).values(**values))
