"""Positions that a wrong clock left ahead of now."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.polling.pages import poll_scopes
from flows.polling.positions import read_position
from flows.polling.storage.cursors import CursorRow, write_cursor
from flows.polling.windows import Position, Window
from tests.polling.runs import JOB, NOW, REACH, FakeFeed, cursor_of, polling_run

PATIENCE_SECONDS = 30.0


async def left(database: AsyncEngine, cursor: CursorRow) -> None:
    async with database.begin() as connection:
        await write_cursor(connection, JOB, "", cursor)


async def next_offset(database: AsyncEngine) -> str | None:
    cursor = await cursor_of(database)
    return cursor and cursor.next_offset


async def poll(database: AsyncEngine) -> tuple[list[tuple[Window, int | str]], list[str]]:
    """What a poll asks for, and the warnings of it."""
    run = polling_run(database)
    feed = FakeFeed(run, rows=5)
    with capture_logs() as events:
        await poll_scopes(run, {"": feed}, REACH)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start) == (run.now, None), "from here on, all is as usual"
    return feed.asked, [event["event"] for event in events if event["log_level"] == "warning"]


async def test_a_watermark_ahead_of_now_counts_as_none_with_a_warning(database: AsyncEngine) -> None:
    async with reading(database) as connection:
        ahead = await database_now(connection) + timedelta(hours=8)
    await left(database, CursorRow(watermark=ahead, read_from=ahead - timedelta(hours=9)))
    assert await poll(database) == (
        [(Window(NOW - REACH.lookback, NOW), offset) for offset in (0, 5)],
        ["position_ahead_of_now"],
    )
    assert await poll(database) == ([], [])


async def test_what_settled_or_was_swept_ahead_of_now_is_not_known(database: AsyncEngine) -> None:
    async with reading(database) as connection:
        ahead = await database_now(connection) + timedelta(days=3)
    await left(database, CursorRow(NOW, settled_until=ahead, swept_at=ahead, read_from=NOW - timedelta(hours=1)))
    with capture_logs() as events:
        async with reading(database) as connection:
            position, _known = await read_position(connection, JOB, "")
    assert position == Position(NOW, read_from=NOW - timedelta(hours=1)), "the rest was not left by a wrong clock"
    assert [event["event"] for event in events] == ["position_ahead_of_now"]


@pytest.mark.parametrize("watermark", [NOW - timedelta(hours=2), None], ids=["later poll", "first poll"])
async def test_an_unfinished_window_ending_ahead_of_now_begins_anew(
    database: AsyncEngine, watermark: datetime | None
) -> None:
    async with reading(database) as connection:
        ahead = await database_now(connection) + timedelta(hours=8)
    await left(database, CursorRow(watermark, NOW - timedelta(hours=3), ahead, "20"))
    start = NOW - REACH.lookback if watermark is None else watermark - REACH.overlap
    assert await poll(database) == ([(Window(start, NOW), offset) for offset in (0, 5)], ["position_ahead_of_now"])


async def test_an_overtaken_run_sets_nothing_back_and_pays_little(database: AsyncEngine) -> None:
    stopped, other = polling_run(database), polling_run(database, now=NOW + timedelta(minutes=15))
    feed = FakeFeed(stopped, rows=45)
    goes_on = FakeFeed(other, rows=45)

    async def stop() -> None:
        """Stop in the middle of the window, until another run has read it to its end."""
        if len(feed.asked) == 2:
            # The second page is stored while the third is asked for: not in the middle of the other run.
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await next_offset(database) != "20":
                    pass
            await poll_scopes(other, {"": goes_on}, REACH)

    feed.before_fetch = stop
    await poll_scopes(stopped, {"": feed}, REACH)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start) == (other.now, None)
    assert len(feed.asked) <= 4, "the page that it was stopped at, and the one that was fetched ahead"
    assert (stopped.status(), stopped.statistics.fetched) == ("partial_failure", 20), "and that page is the other's"
    assert "Another run has gone on" in stopped.statistics.failures[0]
