"""When a job delivered, and where it long did not: what the history asks of the execution log.

It walks an index over the time that it is about: a window, or the time since the job last delivered.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Float, Select, func, literal, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from flows.database.types import UtcDateTime
from flows.monitoring.tables import RAN, ExecutionLog
from flows.monitoring.verdicts.queries import DELIVERED

# The databases compute differences of times with few digits; what is so near to the bound is for the caller to compare.
_SLACK_SECONDS = 0.01


@dataclass(frozen=True)
class Pause:
    """The time between two neighbouring starts of runs that delivered."""

    start: datetime
    end: datetime


async def last_delivery(
    connection: AsyncConnection, job_name: str, *, before: datetime | None = None
) -> datetime | None:
    """Say when the job's newest run that delivered (and started before `before`) started; None if there is none."""
    statement = _delivered(job_name).order_by(ExecutionLog.started_at.desc(), ExecutionLog.id.desc()).limit(1)
    if before is not None:
        statement = statement.where(ExecutionLog.started_at < before)
    return (await connection.execute(statement)).scalar_one_or_none()


async def long_pauses(
    connection: AsyncConnection, job_name: str, *, start: datetime, end: datetime, longer_than_seconds: float
) -> list[Pause]:
    """Find where the starts of runs that delivered lie further apart than that, oldest first.

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


def _delivered(job_name: str) -> Select[*tuple[Any, ...]]:
    return select(ExecutionLog.started_at.label("at")).where(
        ExecutionLog.job_name == job_name, text(RAN), text(DELIVERED)
    )


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
