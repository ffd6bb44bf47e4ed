"""A stretch that was not read whole waits for a later run, and is not forgotten without a word."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.polling.storage import tables
from flows.polling.storage.deferred import (
    DeferredStretch,
    defer_stretch,
    deferred_stretches,
    drop_stretch,
    note_stretch_failed,
    split_stretch,
)
from tests.polling.storage.rows import NOON

STRETCH = DeferredStretch("news", "", NOON, NOON + timedelta(hours=1))


async def defer(database: AsyncEngine, *stretches: DeferredStretch) -> None:
    for stretch in stretches:
        async with database.begin() as connection:
            await defer_stretch(connection, stretch, reason="500")


async def waiting(database: AsyncEngine, *scopes: str) -> list[DeferredStretch]:
    async with reading(database) as connection:
        return await deferred_stretches(connection, "news", scopes or [""])


async def fail_again(database: AsyncEngine, stretch: DeferredStretch, give_up_after: timedelta) -> bool:
    async with database.begin() as connection:
        return await note_stretch_failed(connection, stretch, reason="still 500", give_up_after=give_up_after)


async def test_a_stretch_waits_until_it_was_stored(database: AsyncEngine) -> None:
    await defer(database, STRETCH, replace(STRETCH, job_name="stories"), replace(STRETCH, scope="Claude"))
    assert await waiting(database) == [STRETCH]

    async with database.begin() as connection:
        await drop_stretch(connection, STRETCH)
    assert await waiting(database) == []


async def test_the_least_tried_stretches_come_first_in_any_scope(database: AsyncEngine) -> None:
    pages = [replace(STRETCH, scope=scope) for scope in ("Claude", "Gemini", "Llama")]
    await defer(database, *pages, replace(STRETCH, scope="Grok"))
    assert not await fail_again(database, pages[0], timedelta(hours=1))

    assert await waiting(database, "Claude", "Gemini", "Llama") == [pages[1], pages[2], pages[0]]


async def test_a_stretch_that_two_runs_step_over_at_once_waits_once(database: AsyncEngine) -> None:
    await asyncio.gather(*(defer(database, STRETCH) for _ in range(3)))

    assert await waiting(database) == [STRETCH]
    async with reading(database) as connection:
        assert await connection.scalar(select(tables.DeferredPage.attempts)) == 3


async def test_halves_have_been_waiting_for_as_long_as_the_whole(database: AsyncEngine) -> None:
    await defer(database, STRETCH)
    async with reading(database) as connection:
        since = await connection.scalar(select(tables.DeferredPage.first_failed_at))
    middle = NOON + timedelta(minutes=30)
    halves = [replace(STRETCH, window_end=middle), replace(STRETCH, window_start=middle)]
    async with database.begin() as connection:
        await split_stretch(connection, STRETCH, halves, reason="too long")
    assert await waiting(database) == halves
    async with reading(database) as connection:
        assert set(await connection.scalars(select(tables.DeferredPage.first_failed_at))) == {since}


async def test_a_stretch_is_given_up_when_it_has_failed_for_too_long(database: AsyncEngine) -> None:
    await defer(database, STRETCH)
    assert not await fail_again(database, STRETCH, timedelta(minutes=10))
    assert await fail_again(database, STRETCH, timedelta(0))

    assert await waiting(database) == []
    async with reading(database) as connection:
        kept = (await connection.execute(select(tables.RejectedRecord.__table__))).one()
    assert (kept.kind, kept.reason) == ("stretch", "still 500")
    assert json.loads(kept.raw)["window_start"] == str(NOON)


async def test_a_stretch_that_is_no_longer_waiting_is_not_given_up(database: AsyncEngine) -> None:
    assert not await fail_again(database, STRETCH, timedelta(0))
    assert await waiting(database) == []
