"""Pages that are fetched ahead are those that the reading asks for anyway, and are stored in its order."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import Page
from flows.polling.pages import poll_scopes
from flows.polling.storage.full_pages import note_full_page
from flows.polling.windows import Window
from tests.polling.runs import ASKED, FAILS, NOW, REACH, FakeFeed, cursor_of, polling_run

CAP = 10
SLICED = replace(REACH, slice=timedelta(hours=6))


class WatchedFeed(FakeFeed):
    """A feed whose answers come together, and that notes how many requests were under way at the most."""

    under_way = most = begun = 0

    async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # Lets all others that may begin do so.
        for _ in range(10):
            await asyncio.sleep(0)
        try:
            return await super().fetch(window, offset)
        finally:
            self.under_way -= 1


@pytest.mark.parametrize("at_once", [2, 5])
@pytest.mark.parametrize("rows", [0, 7, 10, 34, 40])
async def test_no_page_is_asked_for_that_would_not_be(database: AsyncEngine, at_once: int, rows: int) -> None:
    async with database.begin() as connection:
        await note_full_page(connection, "", FakeFeed.endpoint, ASKED, CAP, NOW)
    run = polling_run(database)
    run.requests_at_once = at_once
    feed = FakeFeed(run, rows=rows, cap=CAP)
    await poll_scopes(run, {"": feed}, SLICED)
    # An empty page after a full one is proved by the one after it.
    pages = rows // CAP + (2 if rows and rows % CAP == 0 else 1)
    assert len(feed.asked) == len(set(feed.asked)) == 4 * pages
    assert feed.stored == list(range(rows)) * 4
    cursor = await cursor_of(database)
    assert cursor is not None
    assert cursor.watermark == NOW


async def test_windows_are_fetched_side_by_side(database: AsyncEngine) -> None:
    run = polling_run(database)
    run.requests_at_once = 3
    feed = WatchedFeed(run, rows=34)
    await poll_scopes(run, {"": feed}, SLICED)
    assert feed.most == 3
    assert feed.stored == list(range(34)) * 4


async def test_the_next_page_is_begun_before_one_is_stored(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = WatchedFeed(run, rows=34)
    begun: list[int] = []
    feed.before_store = lambda _offset: begun.append(feed.begun)
    await poll_scopes(run, {"": feed}, REACH)
    assert feed.most == 1
    assert begun[0] == 2


async def test_nothing_is_fetched_ahead_near_the_budget(database: AsyncEngine) -> None:
    run = polling_run(database, is_tight=True)
    run.requests_at_once = 5
    feed = WatchedFeed(run, rows=100)
    await poll_scopes(run, {"": feed}, SLICED)
    assert feed.most == 1
    assert len(feed.asked) == run.statistics.pages == 3


async def test_what_is_under_way_ends_with_the_poll(database: AsyncEngine) -> None:
    run = polling_run(database)
    run.requests_at_once = 5
    feed = WatchedFeed(run, rows=34, fails={10: FAILS, 20: FAILS})
    await poll_scopes(run, {"": feed}, SLICED)
    assert run.statistics.failures
    assert feed.under_way == 0
    assert len(asyncio.all_tasks()) == 1
