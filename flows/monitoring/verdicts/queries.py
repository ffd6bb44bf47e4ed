"""What the health report asks of the execution log, beyond what `flows.monitoring.log.rows` answers.

The report is read again and again, so what a question costs must not grow with the log's age: it is an index lookup, or
walks an index over the time that it is about (a window, or the time since the job last delivered).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    TextClause,
    and_,
    bindparam,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from flows.database.base import table_of
from flows.database.types import UtcDateTime, utc_now
from flows.monitoring.jobs.registry import StoredJob
from flows.monitoring.log.rows import LogRow, columns_of
from flows.monitoring.paging import pages
from flows.monitoring.tables import OPEN, RAN, SUCCEEDED, ExecutionLog, MonitoredJob, ReconcilerWatermark
from flows.monitoring.vocabulary import Status

# Said word for word: bound parameters would be one more value for each time that they stand in a statement.
ENDED = f"status <> '{Status.RUNNING}'"
# Of runs that committed data.
DELIVERED = f"status IN ('{Status.SUCCESS}', '{Status.PARTIAL_FAILURE}')"
_JOBS, _LOG = table_of(MonitoredJob), table_of(ExecutionLog)
# A row of the job in question, in the subqueries that find it.
_ROW = _LOG.alias("row")
_NEWEST_FIRST = (_ROW.c.started_at.desc(), _ROW.c.id.desc())
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Columns = ReadOnlyColumnCollection[str, Column[Any]]
Row = TypeVar("Row", LogRow, "OutcomeRow", "SuccessRow")


@dataclass(frozen=True)
class OutcomeRow:
    """How a run that did something ended."""

    status: str
    started_at: datetime
    completed_at: datetime
    error_message: str | None
    execution_id: UUID
    closed_by: str | None


@dataclass(frozen=True)
class SuccessRow:
    """A successful run, and the statistics that were stored with its data."""

    completed_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True)
class Newest:
    """A job and its newest rows, each None if there is none."""

    job: StoredJob
    running_since: datetime | None
    """When the oldest run that is going on started."""
    running_id: UUID | None
    """That run's id."""
    run: LogRow | None
    """The last run, be it over or not, that was not skipped, cancelled or missed."""
    outcome: OutcomeRow | None
    """The last of those that are over."""
    success: SuccessRow | None


_JOB_COLUMNS, _RUN_COLUMNS, _OUTCOME_COLUMNS = (len(fields(kind)) for kind in (StoredJob, LogRow, OutcomeRow))


async def read_moment(connection: AsyncConnection) -> tuple[datetime, datetime | None]:
    """Read the database's time, and up to when the log has been reconciled; None before the first time."""
    row = (await connection.execute(_moment())).one()
    return row.now, row.reconciled_until


async def read_newest(connection: AsyncConnection, now: datetime) -> dict[str, Newest]:
    """Read each job that is expected to run with its newest rows, by its name in its order: one statement for all."""
    found: dict[str, Newest] = {}
    for row in await connection.execute(_newest(), {"now": now}):
        # The columns come in the order of the fields.
        columns = iter(row)
        job = StoredJob(*islice(columns, _JOB_COLUMNS))
        found[job.job_name] = Newest(
            job,
            running_since=next(columns),
            running_id=next(columns),
            run=_made(LogRow, islice(columns, _RUN_COLUMNS)),
            outcome=_made(OutcomeRow, islice(columns, _OUTCOME_COLUMNS)),
            success=_made(SuccessRow, columns),
        )
    return found


async def latest_outcomes(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[OutcomeRow]]:
    """Read how the newest runs of each job ended, newest first; without those that are going on or did nothing."""
    return await _of_each_job(connection, job_names, limit, _latest_outcomes, OutcomeRow)


async def first_failures(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[OutcomeRow]]:
    """Read the first failures since each of the jobs last delivered, newest first: they tell since when it fails."""
    return await _of_each_job(connection, job_names, limit, _first_failures, OutcomeRow)


async def latest_successes(
    connection: AsyncConnection, job_names: Collection[str], limit: int
) -> dict[str, list[SuccessRow]]:
    """Read the newest successful runs of each of the jobs, newest first."""
    return await _of_each_job(connection, job_names, limit, _latest_successes, SuccessRow)


async def _of_each_job(
    connection: AsyncConnection,
    job_names: Collection[str],
    limit: int,
    statement: Callable[[str], Select[*tuple[Any, ...]]],
    kind: type[Row],
) -> dict[str, list[Row]]:
    """Some rows of each of the jobs, newest first, in pages of jobs."""
    found: dict[str, list[Row]] = {}
    for page in pages(sorted(job_names)):
        values = {"names": page, "most": limit}
        for name, *columns in await connection.execute(statement(connection.dialect.name), values):
            found.setdefault(name, []).append(kind(*columns))
    return found


# To make a statement takes longer than to execute it: each is made once. They are made of tables, and not of classes,
# as those would be resolved again with each execution.


@cache
def _moment() -> Select[*tuple[Any, ...]]:
    watermark = table_of(ReconcilerWatermark).c.reconciled_until
    return select(utc_now().label("now"), select(watermark).scalar_subquery().label("reconciled_until"))


@cache
def _newest() -> Select[*tuple[Any, ...]]:
    started = _LOG.alias("started")
    place = func.row_number().over(partition_by=started.c.job_name, order_by=(started.c.started_at, started.c.id))
    running = (
        select(started.c.job_name, started.c.started_at, started.c.execution_id, place.label("place"))
        .where(text(OPEN), started.c.started_at < bindparam("now", type_=UtcDateTime()))
        .subquery("running")
    )
    run, ended, success = (_LOG.alias(name) for name in ("run", "ended", "success"))
    rows = (
        _JOBS.outerjoin(running, and_(running.c.job_name == _JOBS.c.job_name, running.c.place == 1))
        .outerjoin(run, run.c.id == _newest_id(text(RAN)))
        .outerjoin(ended, ended.c.id == _newest_id(text(RAN), text(ENDED)))
        .outerjoin(success, success.c.id == _newest_id(text(SUCCEEDED)))
    )
    return (
        select(
            *(_JOBS.c[field.name] for field in fields(StoredJob)),
            running.c.started_at,
            running.c.execution_id,
            *columns_of(run.c).values(),
            *_outcome_columns(ended.c),
            *_success_columns(success.c),
        )
        .select_from(rows)
        .where(_JOBS.c.retired_at.is_(None))
        .order_by(_JOBS.c.job_name)
    )


@cache
def _latest_outcomes(dialect: str) -> Select[*tuple[Any, ...]]:
    ids = _ids().where(text(RAN), text(ENDED)).order_by(*_NEWEST_FIRST)
    return _rows_of_each(dialect, ids, _outcome_columns(_LOG.c))


@cache
def _first_failures(dialect: str) -> Select[*tuple[Any, ...]]:
    row = _LOG.alias("delivered")
    delivered_at = (
        select(row.c.started_at)
        .where(row.c.job_name == _JOBS.c.job_name, text(RAN), text(DELIVERED))
        .order_by(row.c.started_at.desc(), row.c.id.desc())
        .limit(1)
        .correlate(_JOBS)
        .scalar_subquery()
    )
    since = func.coalesce(delivered_at, literal(_BEGINNING, UtcDateTime()))
    ids = _ids().where(text(RAN), text(ENDED), _ROW.c.started_at > since).order_by(_ROW.c.started_at, _ROW.c.id)
    return _rows_of_each(dialect, ids, _outcome_columns(_LOG.c))


@cache
def _latest_successes(dialect: str) -> Select[*tuple[Any, ...]]:
    return _rows_of_each(dialect, _ids().where(text(SUCCEEDED)).order_by(*_NEWEST_FIRST), _success_columns(_LOG.c))


def _rows_of_each(dialect: str, ids: Select[int], columns: Iterable[ColumnElement[Any]]) -> Select[*tuple[Any, ...]]:
    """For each of `names`, the rows with the first `most` of these ids, which are those of the one in `_JOBS`."""
    ids = ids.limit(bindparam("most", type_=Integer()))
    if dialect == "postgresql":
        each = ids.lateral("each")
        rows = _JOBS.join(each, true()).join(_LOG, _LOG.c.id == each.c.id)
    else:
        # SQLite knows no LATERAL, but a limit where PostgreSQL could not use it.
        rows = _JOBS.join(_LOG, _LOG.c.id.in_(ids))
    return (
        select(_JOBS.c.job_name, *columns)
        .select_from(rows)
        .where(_JOBS.c.job_name.in_(bindparam("names", expanding=True)))
        .order_by(_LOG.c.started_at.desc(), _LOG.c.id.desc())
    )


def _ids() -> Select[int]:
    return select(_ROW.c.id).where(_ROW.c.job_name == _JOBS.c.job_name).correlate(_JOBS)


def _newest_id(*conditions: TextClause) -> ScalarSelect[int]:
    return _ids().where(*conditions).order_by(*_NEWEST_FIRST).limit(1).scalar_subquery()


def _outcome_columns(row: Columns) -> tuple[ColumnElement[Any], ...]:
    completed_at = func.coalesce(row["completed_at"], row["started_at"])
    return (row["status"], row["started_at"], completed_at, row["error_message"], row["execution_id"], row["closed_by"])


def _success_columns(row: Columns) -> tuple[ColumnElement[Any], ...]:
    return (func.coalesce(row["completed_at"], row["started_at"]), row["metadata"])


def _made(kind: type[Row], columns: Iterable[Any]) -> Row | None:
    """What the columns make; None if the job has no such row."""
    values = tuple(columns)
    return None if values[0] is None else kind(*values)
