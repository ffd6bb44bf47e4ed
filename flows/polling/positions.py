"""Positions in the database: one cursor for each job and scope."""

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.clock import database_now
from flows.polling.storage.cursors import CursorRow, read_cursor, write_cursor
from flows.polling.windows import Position, Window

logger = structlog.stdlib.get_logger()


async def read_position(connection: AsyncConnection, job_name: str, scope: str) -> Position:
    """How far the scope has been polled.

    An unfinished window that ends ahead of the database's clock, as a wrong clock leaves it, is given up: it was not
    frozen, so its offset counts other rows by now. That, and a watermark ahead of the clock, is said aloud.
    """
    cursor = await read_cursor(connection, job_name, scope)
    if cursor is None:
        return Position()
    position = _position_of(cursor)
    now = await database_now(connection)
    reached = position.window.end if position.window else position.watermark
    if reached is None or reached <= now:
        return position
    logger.warning("position_ahead_of_now", scope=scope, position=str(reached), now=str(now))
    return Position(position.watermark)


def _position_of(cursor: CursorRow) -> Position:
    if cursor.window_start is None or cursor.window_end is None or cursor.next_offset is None:
        return Position(cursor.watermark)
    # The column is text, as AskNews' offsets are numbers or opaque text.
    offset = int(cursor.next_offset) if cursor.next_offset.isdecimal() else cursor.next_offset
    return Position(cursor.watermark, Window(cursor.window_start, cursor.window_end), offset)


async def write_position(connection: AsyncConnection, job_name: str, scope: str, position: Position) -> None:
    """Keep how far the scope has been polled, within the caller's transaction."""
    window = position.window
    cursor = CursorRow(
        watermark=position.watermark,
        window_start=window.start if window else None,
        window_end=window.end if window else None,
        next_offset=str(position.next_offset) if window else None,
    )
    await write_cursor(connection, job_name, scope, cursor)
