"""How far the log has been reconciled with the server."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import insert_into
from flows.monitoring.tables import ReconcilerWatermark

_ONLY_ROW = 1


async def read_watermark(connection: AsyncConnection) -> datetime | None:
    """Read the time up to which the log has been reconciled, or None before the first time."""
    return await connection.scalar(select(ReconcilerWatermark.reconciled_until))


async def write_watermark(connection: AsyncConnection, until: datetime) -> None:
    """Note that the log has been reconciled up to `until`."""
    statement = insert_into(connection, ReconcilerWatermark).values(id=_ONLY_ROW, reconciled_until=until)
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"reconciled_until": until}))
