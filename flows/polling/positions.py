"""Positions in the database: one cursor for each job and scope."""

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.cursors import CursorRow, read_cursor, write_cursor
from flows.polling.windows import Position, Window


async def read_position(connection: AsyncConnection, job_name: str, scope: str) -> Position:
    """How far the scope has been polled."""
    cursor = await read_cursor(connection, job_name, scope)
    if cursor is None:
        return Position()
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
