"""A job that is due every quarter of an hour, and what the log and the verification have of it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.verify.verification import Verification, verify
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
QUARTER = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
TICKS = [START + number * QUARTER for number in range(1, 9)]


async def verified(
    prefect: FakePrefect, database: AsyncEngine, *, since: datetime = START, **options: Any
) -> Verification:
    async with prefect.client() as client:
        return await verify(client, database, since=since, **options)


async def log(
    database: AsyncEngine,
    run: UUID,
    due: datetime,
    status: str | None = "success",
    *,
    closed_by: str = "flow",
    **details: Any,
) -> None:
    closing = None if status is None else Closing(status, due + MINUTE, closed_by, details=details)
    async with database.begin() as connection:
        await record(connection, Fact(run, JOB, due, 1, due, closing))


async def log_all(prefect: FakePrefect, database: AsyncEngine) -> None:
    """Every tick has its run and its row."""
    for tick in TICKS:
        await log(database, prefect.run(JOB, tick, lasts=MINUTE), tick)
