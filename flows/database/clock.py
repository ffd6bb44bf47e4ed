"""The one clock that all workers share: ages are told by it, whatever the workers' own clocks say."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.types import utc_now


async def database_now(connection: AsyncConnection) -> datetime:
    """Return the database's time, aware and in UTC."""
    return (await connection.execute(select(utc_now()))).scalar_one()
