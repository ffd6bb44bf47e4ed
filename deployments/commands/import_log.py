"""`vibecheck import-log`: the rows of the APScheduler service that this pipeline replaces.

They go through `record` like everything else, so that importing twice changes nothing. What the pipeline itself has
logged is left alone: of a job that it runs, only rows from before it took over are imported.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from deployments.failures import CommandFailed
from deployments.parameters import GivenSettings
from flows.database.engine import DatabaseUnavailable, create_engine, opened_engine, reading
from flows.logs import configure_logging
from flows.monitoring.jobs.registry import read_jobs
from flows.monitoring.log.merge import STATUSES
from flows.monitoring.log.old_log import OldRow, read_old_rows
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.vocabulary import Status, Writer

BATCH = 500
# What the old service called an end, where the pipeline has another word.
SYNONYMS = {
    "completed": Status.SUCCESS,
    "failed": Status.FAILURE,
    "error": Status.FAILURE,
    "canceled": Status.CANCELLED,
}
# A row that has been open for longer belongs to a run whose process died.
OPEN_FOR = timedelta(days=1)

IMPORTED, KNOWN, TAKEN_OVER = "imported", "already here", "later than this pipeline's start"
STILL_RUNNING, UNKNOWN_STATUS, UNKNOWN_TIME = "still running", "of unknown status", "of a time that cannot be read"


async def run_import(
    *,
    source_url: Annotated[
        str,
        Parameter(
            name="--from",
            env_var="OLD_DATABASE_URL",
            help="SQLAlchemy address of the old database (asyncpg or aiosqlite).",
        ),
    ],
    settings: GivenSettings,
) -> int:
    """Import the execution log of the APScheduler service that this pipeline replaces. Doing it again is harmless.

    Exit code 1 when a row was left out for what cannot be understood in it.
    """
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    async with opened_engine(settings) as engine:
        try:
            source = create_engine(source_url)
        except DatabaseUnavailable as error:
            raise _unreadable(error) from None
        try:
            counts = await import_log(source, engine, now=datetime.now(UTC))
        finally:
            await source.dispose()
    for outcome in (IMPORTED, KNOWN, TAKEN_OVER, STILL_RUNNING, UNKNOWN_STATUS, UNKNOWN_TIME):
        console.print(f"{counts[outcome]:>8}  {outcome}")
    return 1 if counts[UNKNOWN_STATUS] or counts[UNKNOWN_TIME] else 0


async def import_log(source: AsyncEngine, engine: AsyncEngine, *, now: datetime) -> Counter[str]:
    """Import the rows of `source` into `engine`'s log, in transactions of 500. Return how many rows became what.

    Raises CommandFailed if the old log cannot be read, DatabaseUnavailable, or sqlalchemy.exc.DBAPIError if `engine`'s
    tables are not there.
    """
    async with reading(engine) as connection:
        since = {name: job.since for name, job in (await read_jobs(connection)).items()}
    counts: Counter[str] = Counter()
    after_id = -1
    while True:
        rows = await _read(source, after_id)
        if not rows:
            return counts
        async with engine.begin() as connection:
            for row in rows:
                counts[await _import(connection, row, since.get(row.job_name), now)] += 1
        after_id = rows[-1].id


async def _read(source: AsyncEngine, after_id: int) -> list[OldRow]:
    try:
        async with reading(source) as connection:
            return await read_old_rows(connection, after_id=after_id, limit=BATCH)
    except DBAPIError as error:
        raise _unreadable(error.orig) from None
    except DatabaseUnavailable as error:
        raise _unreadable(error) from None


def _unreadable(error: BaseException | None) -> CommandFailed:
    return CommandFailed(f"The old log cannot be read (--from, OLD_DATABASE_URL): {error}")


async def _import(connection: AsyncConnection, row: OldRow, taken_over_at: datetime | None, now: datetime) -> str:
    """Record `row` if nothing speaks against it. Return what became of it."""
    if row.started_at is None:
        return UNKNOWN_TIME
    if taken_over_at is not None and row.started_at >= taken_over_at:
        return TAKEN_OVER
    if row.status == Status.RUNNING and now - row.started_at <= OPEN_FOR:
        return STILL_RUNNING
    if row.status != Status.RUNNING and SYNONYMS.get(row.status, row.status) not in STATUSES:
        return UNKNOWN_STATUS
    return IMPORTED if await record(connection, _fact(row, row.started_at)) else KNOWN


def _fact(row: OldRow, started_at: datetime) -> Fact:
    status, error = SYNONYMS.get(row.status, row.status), row.error_message
    if status == Status.RUNNING:
        status, error = Status.FAILURE, "The old service never closed this row: its process died."
    completed_at = row.completed_at or started_at + timedelta(seconds=row.duration_seconds or 0)
    return Fact(
        execution_id=row.execution_id,
        job_name=row.job_name,
        scheduled_for=None,
        attempt=1,
        started_at=started_at,
        closing=Closing(
            status=status,
            completed_at=completed_at,
            # Of all writers the one that yields to every other.
            closed_by=Writer.RECONCILER,
            error_message=error,
            details={**row.details, "imported_id": row.id},
        ),
    )
