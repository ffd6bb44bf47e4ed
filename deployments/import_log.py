"""`vibecheck import-log`: the rows of the APScheduler service that this pipeline replaces.

They go through `record` like everything else, so that importing twice changes nothing. What the pipeline itself has
logged is left alone: of a job that it runs, only rows from before it took over are imported.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from rich.console import Console
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import DatabaseUnavailable, create_engine, engine_from_settings, reading
from flows.database.expectations import read_jobs
from flows.database.old_log import OldRow, read_old_rows
from flows.execution_log.merge import STATUSES
from flows.execution_log.record import Closing, Fact, record
from flows.logs import configure_logging
from flows.settings import Settings

BATCH = 500
# What the old service called an end, where the pipeline has another word.
SYNONYMS = {"completed": "success", "failed": "failure", "error": "failure", "canceled": "cancelled"}
# A row that has been open for longer belongs to a run whose process died.
OPEN_FOR = timedelta(days=1)

IMPORTED, KNOWN, TAKEN_OVER = "imported", "already here", "later than this pipeline's start"
STILL_RUNNING, UNKNOWN_STATUS = "still running", "of unknown status"


async def run_import(settings: Settings, *, source_url: str) -> int:
    """Import the old log at `source_url`, and print what became of its rows. Gives the exit code.

    It is 1 when a database cannot be used, or when a row has a status that nobody knows.
    """
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    try:
        engine = await engine_from_settings(settings)
        try:
            source = create_engine(source_url)
            try:
                counts = await import_log(source, engine, now=datetime.now(UTC))
            finally:
                await source.dispose()
        finally:
            await engine.dispose()
    except DatabaseUnavailable as error:
        console.print(f"[red]{error}")
        return 1
    except DBAPIError as error:
        console.print(f"[red]The old log cannot be read: {error.orig}")
        return 1
    for outcome in (IMPORTED, KNOWN, TAKEN_OVER, STILL_RUNNING, UNKNOWN_STATUS):
        console.print(f"{counts[outcome]:>8}  {outcome}")
    return 1 if counts[UNKNOWN_STATUS] else 0


async def import_log(source: AsyncEngine, engine: AsyncEngine, *, now: datetime) -> Counter[str]:
    """Import the rows of `source` into `engine`'s log, in transactions of 500. Gives how many rows became what."""
    async with reading(engine) as connection:
        since = {name: job.since for name, job in (await read_jobs(connection)).items()}
    counts: Counter[str] = Counter()
    after_id = -1
    while True:
        async with reading(source) as connection:
            rows = await read_old_rows(connection, after_id=after_id, limit=BATCH)
        if not rows:
            return counts
        async with engine.begin() as connection:
            for row in rows:
                outcome = _outcome(row, since, now)
                if outcome == IMPORTED and not await record(connection, _fact(row)):
                    outcome = KNOWN
                counts[outcome] += 1
        after_id = rows[-1].id


def _outcome(row: OldRow, since: Mapping[str, datetime], now: datetime) -> str:
    if row.job_name in since and row.started_at >= since[row.job_name]:
        return TAKEN_OVER
    if row.status == "running":
        return IMPORTED if now - row.started_at > OPEN_FOR else STILL_RUNNING
    return IMPORTED if SYNONYMS.get(row.status, row.status) in STATUSES else UNKNOWN_STATUS


def _fact(row: OldRow) -> Fact:
    status, error = SYNONYMS.get(row.status, row.status), row.error_message
    if status == "running":
        status, error = "failure", "The old service never closed this row: its process died."
    completed_at = row.completed_at or row.started_at + timedelta(seconds=row.duration_seconds or 0)
    return Fact(
        execution_id=row.execution_id,
        job_name=row.job_name,
        scheduled_for=None,
        attempt=1,
        started_at=row.started_at,
        closing=Closing(
            status=status,
            completed_at=completed_at,
            # Of all writers the one that yields to every other.
            closed_by="reconciler",
            error_message=error,
            details={**row.details, "imported_id": row.id},
        ),
    )
