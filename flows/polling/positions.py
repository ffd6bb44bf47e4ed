"""Positions in the database: one cursor for each job and scope."""

from dataclasses import replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.clock import database_now
from flows.polling.storage.cursors import CursorRow, move_cursor, read_cursor
from flows.polling.windows import Position, Window

logger = structlog.stdlib.get_logger()


class PositionMoved(Exception):
    """Another run has moved the position since it was read: this run was stopped for a while, and must not go on."""


async def read_position(connection: AsyncConnection, job_name: str, scope: str) -> tuple[Position, CursorRow | None]:
    """Return how far the scope has been polled, and the cursor that says so.

    What is ahead of the database's clock, as a wrong clock leaves it, counts as none, with a warning: nobody knows what
    was read by then, and no reading would be due until that time. So a watermark is followed by the lookback, and a
    sweep. An unfinished window that ends ahead is given up: it was not frozen, so its offset counts other rows by now.
    """
    cursor = await read_cursor(connection, job_name, scope)
    if cursor is None:
        return Position(), None
    position = _position_of(cursor)
    now = await database_now(connection)
    window_end = position.window.end if position.window else None
    times = (position.watermark, window_end, position.settled_until, position.swept_at)
    ahead = [at for at in times if at is not None and at > now]
    if not ahead:
        return position, cursor
    logger.warning("position_ahead_of_now", scope=scope, position=str(max(ahead)), now=str(now))
    if window_end in ahead:
        position = replace(position, window=None, next_offset=0)
    if position.watermark in ahead:
        position = replace(position, watermark=None, read_from=None)
    if position.settled_until in ahead:
        position = replace(position, settled_until=None)
    if position.swept_at in ahead:
        position = replace(position, swept_at=None)
    return position, cursor


def _position_of(cursor: CursorRow) -> Position:
    position = Position(
        cursor.watermark,
        settled_until=cursor.settled_until,
        swept_at=cursor.swept_at,
        read_from=cursor.read_from,
    )
    if cursor.window_start is None or cursor.window_end is None or cursor.next_offset is None:
        return position
    # The column is text, as AskNews' offsets are numbers or opaque text.
    offset = int(cursor.next_offset) if cursor.next_offset.isdecimal() else cursor.next_offset
    return replace(position, window=Window(cursor.window_start, cursor.window_end), next_offset=offset)


async def write_position(
    connection: AsyncConnection, job_name: str, scope: str, position: Position, *, known: CursorRow | None
) -> CursorRow:
    """Keep how far the scope has been polled, within the caller's transaction, and return the cursor that says so.

    Raises PositionMoved if the cursor is no longer as `known`.
    """
    window = position.window
    cursor = CursorRow(
        watermark=position.watermark,
        window_start=window.start if window else None,
        window_end=window.end if window else None,
        next_offset=str(position.next_offset) if window else None,
        settled_until=position.settled_until,
        swept_at=position.swept_at,
        read_from=position.read_from,
    )
    if not await move_cursor(connection, job_name, scope, known=known, cursor=cursor):
        raise PositionMoved(
            "Another run has gone on from here meanwhile: this one has stopped, and stored nothing more."
        )
    return cursor
