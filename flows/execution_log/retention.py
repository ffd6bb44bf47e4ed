"""How long the log is kept: old rows go in small batches, so that no writer waits for long."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.log import delete_older_than

# A first clean-up of a long log goes on with the next status flow.
BATCHES = 20


async def delete_old_rows(engine: AsyncEngine, retention_days: int) -> int:
    """Delete closed rows older than `retention_days`, by the database's clock, and give how many it were.

    A job's newest row and newest success stay, however old. Raises DatabaseUnavailable.
    """
    deleted = 0
    for _batch in range(BATCHES):
        async with engine.begin() as connection:
            before = await database_now(connection) - timedelta(days=retention_days)
            batch = await delete_older_than(connection, before)
        deleted += batch
        if batch == 0:
            break
    return deleted
