"""The execution log's statements. `flows.monitoring.log.record` decides what a row says; here it is read and written.

Every question about a job's newest rows is an index lookup whose cost does not grow with the log's age. "Newest" is by
`started_at`, then `id`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, bindparam, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from flows.database.base import table_of
from flows.database.upserts import insert_into
from flows.monitoring.paging import pages
from flows.monitoring.tables import OPEN, RAN, SUCCEEDED, ExecutionLog, MonitoredJob
from flows.monitoring.vocabulary import Status


@dataclass(frozen=True)
class LogRow:
    """A row of `scheduler_execution_log`; `details` is its column "metadata"."""

    execution_id: UUID
    job_name: str
    status: str
    scheduled_for: datetime | None
    attempt: int
    started_at: datetime
    completed_at: datetime | None
    duration_seconds: float | None
    error_message: str | None
    details: dict[str, Any]
    closed_by: str | None


_FIELDS = tuple(field.name for field in fields(LogRow))
_LOG = table_of(ExecutionLog)
_NEWEST_FIRST = (ExecutionLog.started_at.desc(), ExecutionLog.id.desc())


def columns_of(row: ReadOnlyColumnCollection[str, Column[Any]]) -> dict[str, Column[Any]]:
    """Return the columns of which a LogRow is made, by its fields' names, of the table or an alias of it."""
    return {name: row["metadata" if name == "details" else name] for name in _FIELDS}


async def insert_row(connection: AsyncConnection, row: LogRow) -> bool:
    """Insert `row`; return False if its execution has a row already (after waiting for its writer)."""
    statement = insert_into(connection, ExecutionLog).values(_values(row))
    result = await connection.execute(statement.on_conflict_do_nothing(index_elements=["execution_id"]))
    return result.rowcount == 1


async def insert_rows(connection: AsyncConnection, rows: Sequence[LogRow]) -> set[UUID]:
    """Do `insert_row` for a page of rows of different executions. Return the executions whose rows were inserted."""
    statement = insert_into(connection, ExecutionLog).on_conflict_do_nothing(index_elements=["execution_id"])
    inserted = await connection.execute(statement.returning(ExecutionLog.execution_id), [_values(row) for row in rows])
    return set(inserted.scalars())


async def lock_row(connection: AsyncConnection, execution_id: UUID) -> LogRow | None:
    """Lock the row of an execution until the transaction ends, and return it, or None."""
    return (await lock_rows(connection, [execution_id])).get(execution_id)


async def lock_rows(connection: AsyncConnection, execution_ids: Collection[UUID]) -> dict[UUID, LogRow]:
    """Lock, in the order of their executions, the rows of those that have one, and return them."""
    wanted = _select().where(ExecutionLog.execution_id.in_(execution_ids)).order_by(ExecutionLog.execution_id)
    return {row.execution_id: row for row in await _read(connection, wanted.with_for_update())}


async def update_row(connection: AsyncConnection, row: LogRow) -> None:
    """Write `row` over the row of its execution."""
    await update_rows(connection, [row])


async def update_rows(connection: AsyncConnection, rows: Sequence[LogRow]) -> None:
    """Write each of `rows` over the row of its execution."""
    statement = update(table_of(ExecutionLog)).where(ExecutionLog.execution_id == bindparam("execution"))
    await connection.execute(statement, [_values(row) | {"execution": row.execution_id} for row in rows])


async def read_rows(connection: AsyncConnection, execution_ids: Sequence[UUID]) -> dict[UUID, LogRow]:
    """Read the rows of those of the executions that have one."""
    found: dict[UUID, LogRow] = {}
    for page in pages(execution_ids):
        rows = await _read(connection, _select().where(ExecutionLog.execution_id.in_(page)))
        found |= {row.execution_id: row for row in rows}
    return found


async def job_of_deployment(connection: AsyncConnection, deployment_id: UUID) -> str | None:
    """Return the name of the job that a deployment is or was, or None if it was not seen yet."""
    statement = (
        select(MonitoredJob.job_name)
        .where(or_(MonitoredJob.deployment_id == deployment_id, MonitoredJob.earlier_deployment_id == deployment_id))
        .order_by(MonitoredJob.retired_at.is_(None).desc())
        .limit(1)
    )
    return (await connection.execute(statement)).scalar_one_or_none()


async def latest_runs(
    connection: AsyncConnection, job_name: str, limit: int, *, only_ran: bool = False
) -> Sequence[LogRow]:
    """Return a job's newest rows, newest first. With `only_ran`, without `skipped`, `cancelled` and `missed`."""
    statement = _select().where(ExecutionLog.job_name == job_name)
    if only_ran:
        statement = statement.where(text(RAN))
    return await _read(connection, statement.order_by(*_NEWEST_FIRST).limit(limit))


async def latest_success(connection: AsyncConnection, job_name: str) -> LogRow | None:
    """Return a job's newest row with the status `success`."""
    statement = _select().where(ExecutionLog.job_name == job_name, text(SUCCEEDED))
    rows = await _read(connection, statement.order_by(*_NEWEST_FIRST).limit(1))
    return rows[0] if rows else None


async def latest_run_of_each_job(connection: AsyncConnection) -> dict[str, LogRow | None]:
    """Return the newest row of each job in `monitored_jobs`, as `latest_runs(only_ran=True)` does; None if none ran."""
    newest = (
        select(ExecutionLog.id)
        .where(ExecutionLog.job_name == MonitoredJob.job_name, text(RAN))
        .order_by(*_NEWEST_FIRST)
        .limit(1)
        .correlate(MonitoredJob)
        .scalar_subquery()
    )
    statement = select(MonitoredJob.job_name.label("expected"), *_labelled()).outerjoin(
        ExecutionLog, ExecutionLog.id == newest
    )
    rows = await connection.execute(statement)
    return {
        row["expected"]: None if row["execution_id"] is None else LogRow(**{name: row[name] for name in _FIELDS})
        for row in rows.mappings()
    }


async def open_rows(connection: AsyncConnection, before: datetime, *, limit: int | None = None) -> Sequence[LogRow]:
    """Return the rows, or the first `limit`, that are `running` though they started before `before`, oldest first."""
    statement = _select().where(text(OPEN), ExecutionLog.started_at < before)
    return await _read(connection, statement.order_by(ExecutionLog.started_at).limit(limit))


async def rows_between(
    connection: AsyncConnection, job_names: Sequence[str], start: datetime, end: datetime
) -> Sequence[LogRow]:
    """Return the jobs' rows with `start <= started_at < end`, each job's oldest first.

    `started_at` may be later than `scheduled_for`.
    """
    statement = _select().where(ExecutionLog.started_at >= start, ExecutionLog.started_at < end)
    statement = statement.order_by(ExecutionLog.started_at, ExecutionLog.id)
    rows: list[LogRow] = []
    for page in pages(job_names):
        rows += await _read(connection, statement.where(ExecutionLog.job_name.in_(page)))
    return rows


async def ticks_logged(
    connection: AsyncConnection, job_names: Sequence[str], start: datetime, end: datetime
) -> list[tuple[str, datetime, UUID]]:
    """Return which ticks have rows with `start <= started_at < end`: job, tick and execution of each."""
    columns = (ExecutionLog.job_name, ExecutionLog.scheduled_for, ExecutionLog.execution_id)
    statement = select(*columns).where(
        ExecutionLog.started_at >= start, ExecutionLog.started_at < end, ExecutionLog.scheduled_for.is_not(None)
    )
    found: list[tuple[str, datetime, UUID]] = []
    for page in pages(job_names):
        rows = await connection.execute(statement.where(ExecutionLog.job_name.in_(page)))
        found += [(name, tick, id_) for name, tick, id_ in rows if tick is not None]
    return found


async def delete_older_than(connection: AsyncConnection, before: datetime, kept: Collection[int], *, limit: int) -> int:
    """Delete at most `limit` rows that started before `before`, the oldest first, and return how many there were.

    Never a row that is still open, and none of `kept`. Repeat it, each time in a transaction of its own, until it
    gives fewer than `limit`.
    """
    deletable = (
        select(ExecutionLog.id)
        .where(
            ExecutionLog.started_at < before,
            ExecutionLog.status != Status.RUNNING,
            ExecutionLog.id.not_in(kept),
        )
        .order_by(ExecutionLog.started_at)
        .limit(limit)
    )
    table = table_of(ExecutionLog)
    result = await connection.execute(delete(table).where(table.c.id.in_(deletable)))
    return result.rowcount


async def rows_worth_keeping(connection: AsyncConnection) -> set[int]:
    """Return the ids of each job's newest row and newest success, for all jobs that ever had a row."""
    # From name to name through the index: DISTINCT would read all of it.
    jobs = select(func.min(ExecutionLog.job_name).label("name")).cte("jobs", recursive=True)
    next_name = select(func.min(ExecutionLog.job_name)).where(ExecutionLog.job_name > jobs.c.name)
    jobs = jobs.union_all(select(next_name.scalar_subquery()).where(jobs.c.name.is_not(None)))
    newest = select(ExecutionLog.id).where(ExecutionLog.job_name == jobs.c.name).order_by(*_NEWEST_FIRST).limit(1)
    rows = await connection.execute(
        select(newest.scalar_subquery(), newest.where(text(SUCCEEDED)).scalar_subquery()).select_from(jobs)
    )
    return {id_ for row in rows for id_ in row if id_ is not None}


def _select() -> Select[*tuple[Any, ...]]:
    return select(*_labelled())


def _labelled() -> list[Any]:
    return [column.label(name) for name, column in columns_of(_LOG.c).items()]


async def _read(connection: AsyncConnection, statement: Select[*tuple[Any, ...]]) -> Sequence[LogRow]:
    rows = await connection.execute(statement)
    return [LogRow(**row) for row in rows.mappings()]


def _values(row: LogRow) -> dict[str, Any]:
    return {column.name: getattr(row, name) for name, column in columns_of(_LOG.c).items()}
