"""A cursor says how far a job has read, and whose turn it is."""

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.polling.storage.cursors import CursorRow, read_cursor, stalest_scopes, touch_cursor, write_cursor
from flows.polling.storage.tables import Cursor
from tests.polling.storage.rows import NOON

UNFINISHED = CursorRow(NOON, NOON - timedelta(hours=1), NOON + timedelta(hours=1), "40")


async def test_a_cursor_is_read_as_it_was_written(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        assert await read_cursor(connection, "news") is None
        await write_cursor(connection, "news", "", UNFINISHED)
        await write_cursor(connection, "stories", "Claude", CursorRow(NOON))

    async with reading(database) as connection:
        assert await read_cursor(connection, "news") == UNFINISHED
        assert await read_cursor(connection, "stories", "Claude") == CursorRow(NOON)
        assert await read_cursor(connection, "stories") is None


async def test_a_finished_window_is_forgotten(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await write_cursor(connection, "news", "", UNFINISHED)
        await write_cursor(connection, "news", "", CursorRow(NOON + timedelta(hours=1)))
        assert await read_cursor(connection, "news") == CursorRow(NOON + timedelta(hours=1))


async def test_a_cursor_comes_and_goes_with_its_transaction(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        await write_cursor(connection, "news", "", UNFINISHED)
        await connection.rollback()
        assert await read_cursor(connection, "news") is None


async def test_the_scopes_take_turns_those_never_tried_first(database: AsyncEngine) -> None:
    scopes = ["a", "b", "c", "d"]

    async def turn(limit: int = 1) -> list[str]:
        async with reading(database) as connection:
            return await stalest_scopes(connection, "stories", scopes, limit)

    assert await turn(2) == ["a", "b"]
    taken: list[str] = []
    for _ in range(8):
        (scope,) = await turn()
        taken.append(scope)
        async with database.begin() as connection:
            await write_cursor(connection, "stories", scope, CursorRow(NOON))
    assert taken == scopes * 2


async def test_a_scope_that_keeps_failing_does_not_starve_the_others(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await write_cursor(connection, "stories", "good", CursorRow(NOON))
        await write_cursor(connection, "stories", "bad", UNFINISHED)
    async with database.begin() as connection:
        await write_cursor(connection, "stories", "good", CursorRow(NOON))
        assert await stalest_scopes(connection, "stories", ["good", "bad"], 1) == ["bad"]
    async with database.begin() as connection:
        await touch_cursor(connection, "stories", "bad")
        assert await stalest_scopes(connection, "stories", ["good", "bad"], 1) == ["good"]
        assert await read_cursor(connection, "stories", "bad") == UNFINISHED


async def test_a_scope_tried_by_a_clock_that_was_ahead_is_next(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        for scope in ("a", "b", "c"):
            await write_cursor(connection, "stories", scope, CursorRow(NOON))
        ahead = await database_now(connection) + timedelta(days=30)
        await connection.execute(update(Cursor).where(Cursor.scope == "b").values(updated_at=ahead))
        assert await stalest_scopes(connection, "stories", ["a", "b", "c", "d"], 4) == ["d", "b", "a", "c"]


async def test_touching_a_scope_never_read_sends_it_to_the_end(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await touch_cursor(connection, "stories", "a")
        assert await read_cursor(connection, "stories", "a") == CursorRow()
        assert await stalest_scopes(connection, "stories", ["a", "b"], 2) == ["b", "a"]


async def test_scopes_of_other_jobs_or_gone_take_no_turn(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await write_cursor(connection, "stories", "gone", CursorRow())
        await write_cursor(connection, "news", "a", CursorRow())
        assert await stalest_scopes(connection, "stories", ["a"], 5) == ["a"]
        assert await stalest_scopes(connection, "stories", [], 5) == []
