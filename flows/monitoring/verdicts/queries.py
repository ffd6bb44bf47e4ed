"""What the health report asks of the execution log, beyond what `flows.monitoring.log.rows` answers.

The report is read again and again, so what a question costs must not grow with the log's age: it is an index lookup, or
walks an index over the time that it is about (a window, or the time since the job last delivered).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Select, func, literal, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from flows.database.types import UtcDateTime
from flows.monitoring.tables import RAN, SUCCEEDED, ExecutionLog
from flows.monitoring.vocabulary import Status

# The statuses of runs that committed data.
_DELIVERED = (Status.SUCCESS, Status.PARTIAL_FAILURE)
_NEWEST_FIRST = (ExecutionLog.started_at.desc(), ExecutionLog.id.desc())
_COMPLETED_AT = func.coalesce(ExecutionLog.completed_at, ExecutionLog.started_at).label("completed_at")
# The databases compute differences of times with few digits; what is so near to the bound is for the caller to compare.
_SLACK_SECONDS = 0.01


@dataclass(frozen=True)
class OutcomeRow:
    """How a run that did something ended."""

    status: str
    started_at: datetime
    completed_at: datetime
    error_message: str | None
    execution_id: UUID


@dataclass(frozen=True)
class SuccessRow:
    """A successful run, and the statistics that were stored with its data."""

    completed_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True)
class Pause:
    """The time between two neighbouring starts of runs that delivered."""

    start: datetime
    end: datetime


async def latest_outcomes(connection: AsyncConnection, job_name: str, limit: int) -> list[OutcomeRow]:
    """How the job's newest runs ended, newest first; without those that are going on or did nothing."""
    return await _outcomes(connection, _ended(job_name).order_by(*_NEWEST_FIRST).limit(limit))


async def first_failures(connection: AsyncConnection, job_name: str, limit: int) -> list[OutcomeRow]:
    """The first failures since the job last delivered, newest first: they tell since when it fails."""
    statement = _ended(job_name)
    if (delivered_at := await last_delivery(connection, job_name)) is not None:
        statement = statement.where(ExecutionLog.started_at > delivered_at)
    statement = statement.order_by(ExecutionLog.started_at, ExecutionLog.id).limit(limit)
    return (await _outcomes(connection, statement))[::-1]


async def latest_successes(connection: AsyncConnection, job_name: str, limit: int) -> list[SuccessRow]:
    """The job's newest successful runs, newest first."""
    rows = await connection.execute(
        select(_COMPLETED_AT, ExecutionLog.details)
        .where(ExecutionLog.job_name == job_name, text(SUCCEEDED))
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    return [SuccessRow(*row) for row in rows]


async def last_delivery(
    connection: AsyncConnection, job_name: str, *, before: datetime | None = None
) -> datetime | None:
    """When the job's newest run that delivered (and started before `before`) started; None if there is none."""
    statement = _delivered(job_name).order_by(*_NEWEST_FIRST).limit(1)
    if before is not None:
        statement = statement.where(ExecutionLog.started_at < before)
    return (await connection.execute(statement)).scalar_one_or_none()


async def long_pauses(
    connection: AsyncConnection, job_name: str, *, start: datetime, end: datetime, longer_than_seconds: float
) -> list[Pause]:
    """Where the starts of runs that delivered lie further apart than that, oldest first.

    `start` and `end` count as such runs. One pause or another may be shorter by up to 10 ms.
    """
    at = union_all(
        select(literal(start, UtcDateTime()).label("at")),
        _delivered(job_name).where(ExecutionLog.started_at > start, ExecutionLog.started_at < end),
    ).subquery()
    following = func.lead(at.c.at, 1, literal(end, UtcDateTime()), type_=UtcDateTime()).over(order_by=at.c.at)
    pause = select(at.c.at.label("start"), following.label("end")).subquery()
    rows = await connection.execute(
        select(pause.c.start, pause.c.end)
        .where(_seconds_between(pause.c.start, pause.c.end) > longer_than_seconds - _SLACK_SECONDS)
        .order_by(pause.c.start)
    )
    return [Pause(*row) for row in rows]


def _ended(job_name: str) -> Select[*tuple[Any, ...]]:
    return select(
        ExecutionLog.status,
        ExecutionLog.started_at,
        _COMPLETED_AT,
        ExecutionLog.error_message,
        ExecutionLog.execution_id,
    ).where(ExecutionLog.job_name == job_name, text(RAN), ExecutionLog.status != Status.RUNNING)


def _delivered(job_name: str) -> Select[*tuple[Any, ...]]:
    return select(ExecutionLog.started_at.label("at")).where(
        ExecutionLog.job_name == job_name, text(RAN), ExecutionLog.status.in_(_DELIVERED)
    )


async def _outcomes(connection: AsyncConnection, statement: Select[*tuple[Any, ...]]) -> list[OutcomeRow]:
    return [OutcomeRow(*row) for row in await connection.execute(statement)]


class _seconds_between(FunctionElement[float]):  # noqa: N801  # reads as the SQL function that it is
    """The seconds from one column's time to another's."""

    type = Float()
    inherit_cache = True


@compiles(_seconds_between, "postgresql")
def _seconds_between_postgresql(element: _seconds_between, compiler: SQLCompiler, **options: object) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM ({end} - {start}))"


@compiles(_seconds_between, "sqlite")
def _seconds_between_sqlite(element: _seconds_between, compiler: SQLCompiler, **options: object) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"
