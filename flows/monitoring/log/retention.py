"""How long the log is kept."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.monitoring.log.rows import delete_older_than

BATCH = 500
# What one call deletes at the most is 10,000 rows: a month of the pipeline's own. More waits for the next call.
BATCHES = 20


async def delete_old_rows(engine: AsyncEngine, retention_days: int) -> int:
    """Delete rows that started more than `retention_days` ago, by the database's clock. Return how many.

    Small batches, each a transaction of its own, so that nobody who writes waits for long. Never an open row, never a
    job's newest row or newest success. Raises DatabaseUnavailable.
    """
    async with reading(engine) as connection:
        before = await database_now(connection) - timedelta(days=retention_days)
    deleted = 0
    for _ in range(BATCHES):
        async with engine.begin() as connection:
            count = await delete_older_than(connection, before, limit=BATCH)
        deleted += count
        if count < BATCH:
            break
    return deleted
