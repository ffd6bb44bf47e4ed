"""What is known of a page's length: it saves the request that would only show that nothing follows."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import Page
from flows.database.engine import reading
from flows.polling.pages import poll_scopes
from flows.polling.storage.full_pages import read_full_page
from flows.polling.windows import Window
from tests.polling.runs import ASKED, NOW, REACH, FakeFeed, defer, polling_run


@pytest.mark.parametrize(("rows", "asked"), [(5, [0]), (7, [0, 7]), (9, [0, 9])])
async def test_a_page_shorter_than_the_longest_is_the_last(database: AsyncEngine, rows: int, asked: list[int]) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"Claude": FakeFeed(run, rows=7)}, REACH)
    later = polling_run(database, now=NOW + timedelta(hours=1))
    feed = FakeFeed(later, rows=rows)
    await poll_scopes(later, {"Gemini": feed}, REACH)
    assert [offset for _, offset in feed.asked] == asked


async def test_a_cap_that_is_seen_again_is_not_forgotten(database: AsyncEngine) -> None:
    for day in (0, 4):
        run = polling_run(database, now=NOW + timedelta(days=day))
        await poll_scopes(run, {"": FakeFeed(run, rows=25)}, REACH)
    async with reading(database) as connection:
        for day, known in ((10, 10), (12, None)):
            now = NOW + timedelta(days=day)
            assert await read_full_page(connection, "", FakeFeed.endpoint, ASKED, now) == known


class _RepeatingFeed(FakeFeed):
    """The offset is ignored."""

    async def fetch(self, window: Window, offset: int | str) -> Page[int]:
        page = await super().fetch(window, 0)
        self.asked[-1] = (window, offset)
        return page


async def test_a_short_page_that_repeats_proves_the_end(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=25)}, REACH)
    await defer(database, 6)
    later = polling_run(database, now=NOW + timedelta(minutes=15))
    feed = _RepeatingFeed(later, rows=5)
    await poll_scopes(later, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 0, 5]
