"""How long the log is kept."""

import time
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.monitoring.log.rows import delete_older_than, rows_worth_keeping

BATCH = 500
# One call deletes for so long at the most: some 100,000 rows. More waits for the next call.
SECONDS = 10.0


async def delete_old_rows(engine: AsyncEngine, retention_days: int) -> int:
    """Delete rows that started more than `retention_days` ago, by the database's clock. Return how many.

    Small batches, each a transaction of its own, so that nobody who writes waits for long. Never an open row, never a
    job's newest row or newest success. Raises DatabaseUnavailable.
    """
    stop_at = time.monotonic() + SECONDS
    async with reading(engine) as connection:
        before = await database_now(connection) - timedelta(days=retention_days)
        # Once for all batches: rows that others add meanwhile make fewer rows worth keeping, and never more.
        kept = await rows_worth_keeping(connection)
    deleted = 0
    while True:
        async with engine.begin() as connection:
            count = await delete_older_than(connection, before, kept, limit=BATCH)
        deleted += count
        if count < BATCH or time.monotonic() > stop_at:
            return deleted
