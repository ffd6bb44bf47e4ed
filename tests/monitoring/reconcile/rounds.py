"""What the status flow does to the log each time, against a made-up server."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.rows import LogRow, read_rows, rows_between
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import Reconciled, reconcile
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
SECOND = timedelta(seconds=1)


async def status_round(prefect: FakePrefect, database: AsyncEngine, patience: Patience | None = None) -> Reconciled:
    async with prefect.client() as client:
        synced = await sync_expectations(client, database)
        return await reconcile(client, database, synced.jobs, patience=patience)


async def round_of(prefect: FakePrefect, database: AsyncEngine) -> Reconciled:
    """What the status flow does, a second later."""
    prefect.now += SECOND
    return await status_round(prefect, database)


async def rows_of(database: AsyncEngine) -> Sequence[LogRow]:
    async with reading(database) as connection:
        return await rows_between(connection, [JOB], START - timedelta(days=400), START + timedelta(days=400))


async def row_of(database: AsyncEngine, run: UUID) -> LogRow:
    async with reading(database) as connection:
        return (await read_rows(connection, [run]))[run]


async def write(
    database: AsyncEngine, run: UUID, due: datetime, *, status: str | None = None, closed_by: str = "flow"
) -> None:
    """What the flow or a hook wrote itself: an open row, or a closed one."""
    closing = None if status is None else Closing(status, due + 19 * SECOND, closed_by, details={"fetched": 5})
    async with database.begin() as connection:
        await record(connection, Fact(run, JOB, due, 1, due, closing))
