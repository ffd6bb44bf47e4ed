"""What the health report asks of the execution log, beyond what `flows.monitoring.log.rows` answers.

The report is read again and again, so what a question costs must not grow with the log's age: it is an index lookup, or
walks an index over the time that it is about (a window, or the time since the job last delivered).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    RowMapping,
    ScalarSelect,
    Select,
    TextClause,
    func,
    literal,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from flows.database.types import UtcDateTime
from flows.monitoring.log.rows import LogRow, columns_of
from flows.monitoring.paging import pages
from flows.monitoring.tables import OPEN, RAN, SUCCEEDED, ExecutionLog, MonitoredJob
from flows.monitoring.vocabulary import Status

# Said word for word: bound parameters would be one more value for each time that they stand in a statement.
ENDED = f"status <> '{Status.RUNNING}'"
# Of runs that committed data.
DELIVERED = f"status IN ('{Status.SUCCESS}', '{Status.PARTIAL_FAILURE}')"
# A row of the job in question, in the subqueries that find it.
_ROW = aliased(ExecutionLog, name="row")
_NEWEST_FIRST = (_ROW.started_at.desc(), _ROW.id.desc())
_BEGINNING = literal(datetime(1970, 1, 1, tzinfo=UTC), UtcDateTime())
# The databases compute differences of times with few digits; what is so near to the bound is for the caller to compare.
_SLACK_SECONDS = 0.01

Row = TypeVar("Row", LogRow, "OutcomeRow", "SuccessRow")


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
class Newest:
    """The newest rows of a job, each None if there is none."""

    run: LogRow | None
    """The last run, be it over or not, that was not skipped, cancelled or missed."""
    outcome: OutcomeRow | None
    """The last of those that are over."""
    success: SuccessRow | None
    running_since: datetime | None
    """When the oldest run that is going on started."""


NOTHING = Newest(None, None, None, None)


@dataclass(frozen=True)
class Pause:
    """The time between two neighbouring starts of runs that delivered."""

    start: datetime
    end: datetime


async def read_newest(connection: AsyncConnection, now: datetime) -> dict[str, Newest]:
    """The newest rows of each job that is expected to run, by its name: one statement for all of them."""
    started = aliased(ExecutionLog)
    running = (
        select(started.job_name, func.min(started.started_at).label("since"))
        .where(text(OPEN), started.started_at < now)
        .group_by(started.job_name)
        .subquery()
    )
    run, ended, success = (aliased(ExecutionLog, name=name) for name in ("run", "ended", "success"))
    statement = (
        select(
            MonitoredJob.job_name.label("job"),
            running.c.since,
            *(column.label(f"run_{name}") for name, column in columns_of(run).items()),
            *(column.label(f"ended_{name}") for name, column in _outcome_columns(ended).items()),
            *(column.label(f"success_{name}") for name, column in _success_columns(success).items()),
        )
        .outerjoin(running, running.c.job_name == MonitoredJob.job_name)
        .outerjoin(run, run.id == _newest_id(text(RAN)))
        .outerjoin(ended, ended.id == _newest_id(text(RAN), text(ENDED)))
        .outerjoin(success, success.id == _newest_id(text(SUCCEEDED)))
        .where(MonitoredJob.retired_at.is_(None))
    )
    rows = (await connection.execute(statement)).mappings()
    return {
        row["job"]: Newest(
            run=_made(LogRow, row, "run_"),
            outcome=_made(OutcomeRow, row, "ended_"),
            success=_made(SuccessRow, row, "success_"),
            running_since=row["since"],
        )
        for row in rows
    }


async def latest_outcomes(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[OutcomeRow]]:
    """How the newest runs of each of the jobs ended, newest first; without those that are going on or did nothing."""
    ids = _ids().where(text(RAN), text(ENDED)).order_by(*_NEWEST_FIRST).limit(limit)
    return await _of_each_job(connection, job_names, ids, OutcomeRow, _outcome_columns(ExecutionLog))


async def first_failures(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[OutcomeRow]]:
    """The first failures since each of the jobs last delivered, newest first: they tell since when it fails."""
    row = aliased(ExecutionLog)
    delivered_at = (
        select(row.started_at)
        .where(row.job_name == MonitoredJob.job_name, text(RAN), text(DELIVERED))
        .order_by(row.started_at.desc(), row.id.desc())
        .limit(1)
        .correlate(MonitoredJob)
        .scalar_subquery()
    )
    ids = (
        _ids()
        .where(text(RAN), text(ENDED), _ROW.started_at > func.coalesce(delivered_at, _BEGINNING))
        .order_by(_ROW.started_at, _ROW.id)
        .limit(limit)
    )
    return await _of_each_job(connection, job_names, ids, OutcomeRow, _outcome_columns(ExecutionLog))


async def latest_successes(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[SuccessRow]]:
    """The newest successful runs of each of the jobs, newest first."""
    ids = _ids().where(text(SUCCEEDED)).order_by(*_NEWEST_FIRST).limit(limit)
    return await _of_each_job(connection, job_names, ids, SuccessRow, _success_columns(ExecutionLog))


async def last_delivery(
    connection: AsyncConnection, job_name: str, *, before: datetime | None = None
) -> datetime | None:
    """When the job's newest run that delivered (and started before `before`) started; None if there is none."""
    statement = _delivered(job_name).order_by(ExecutionLog.started_at.desc(), ExecutionLog.id.desc()).limit(1)
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


def _delivered(job_name: str) -> Select[*tuple[Any, ...]]:
    return select(ExecutionLog.started_at.label("at")).where(
        ExecutionLog.job_name == job_name, text(RAN), text(DELIVERED)
    )


async def _of_each_job(
    connection: AsyncConnection,
    job_names: Collection[str],
    ids: Select[int],
    kind: type[Row],
    columns: Mapping[str, Any],
) -> dict[str, list[Row]]:
    """Some rows of each of the jobs, newest first, in pages of jobs. `ids` are those of the one in `MonitoredJob`."""
    found: dict[str, list[Row]] = {}
    newest_first = (ExecutionLog.started_at.desc(), ExecutionLog.id.desc())
    wanted = select(MonitoredJob.job_name.label("job"), *(column.label(name) for name, column in columns.items()))
    wanted = wanted.select_from(MonitoredJob)
    if connection.dialect.name == "postgresql":
        each = ids.lateral("each")
        wanted = wanted.join(each, true()).join(ExecutionLog, ExecutionLog.id == each.c.id)
    else:
        # SQLite knows no LATERAL, but a limit where PostgreSQL could not use it.
        wanted = wanted.join(ExecutionLog, ExecutionLog.id.in_(ids))
    for page in pages(sorted(job_names)):
        statement = wanted.where(MonitoredJob.job_name.in_(page)).order_by(*newest_first)
        for row in (await connection.execute(statement)).mappings():
            found.setdefault(row["job"], []).append(kind(**{name: row[name] for name in columns}))
    return found


def _ids() -> Select[int]:
    return select(_ROW.id).where(_ROW.job_name == MonitoredJob.job_name).correlate(MonitoredJob)


def _newest_id(*conditions: ColumnElement[bool] | TextClause) -> ScalarSelect[int]:
    return _ids().where(*conditions).order_by(*_NEWEST_FIRST).limit(1).scalar_subquery()


def _outcome_columns(row: type[ExecutionLog]) -> dict[str, Any]:
    return {
        "status": row.status,
        "started_at": row.started_at,
        "completed_at": func.coalesce(row.completed_at, row.started_at),
        "error_message": row.error_message,
        "execution_id": row.execution_id,
    }


def _success_columns(row: type[ExecutionLog]) -> dict[str, Any]:
    return {"completed_at": func.coalesce(row.completed_at, row.started_at), "details": row.details}


def _made(kind: type[Row], row: RowMapping, prefix: str) -> Row | None:
    """The part of `row` that is labelled so; None if the job has no such row."""
    names = [field.name for field in fields(kind)]
    return None if row[prefix + names[0]] is None else kind(**{name: row[prefix + name] for name in names})


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
