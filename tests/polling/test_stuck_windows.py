"""A window that an earlier run left where no page can be had any more holds up nothing that is new."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import InvalidRequest, Page, ServiceFailed
from flows.polling.pages import poll_scopes
from flows.polling.storage.full_pages import note_full_page
from flows.polling.windows import Window
from tests.polling.runs import ASKED, FAILS, NOW, REACH, FakeFeed, crashing, cursor_of, polling_run, waiting

BROKEN = {10: FAILS, 20: FAILS}
LATER = NOW + timedelta(minutes=15)
LEFT = Window(NOW - REACH.lookback, NOW)


@pytest.fixture(autouse=True)
async def left_window(database: AsyncEngine) -> None:
    """A window that a run left at 10, as two pages in a row failed there."""
    run = polling_run(database)
    async with database.begin() as connection:
        await note_full_page(connection, run.pages.plan, FakeFeed.endpoint, ASKED, 10, NOW)
    await poll_scopes(run, {"": FakeFeed(run, rows=45, fails=BROKEN)}, REACH)


async def test_a_window_whose_first_page_answers_is_deferred(database: AsyncEngine) -> None:
    run = polling_run(database, now=LATER)
    feed = FakeFeed(run, rows=45, fails=BROKEN)

    async def heal_what_is_new() -> None:
        if len(feed.asked) == 3:
            feed.fails = {}

    feed.before_fetch = heal_what_is_new
    await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked[:4]] == [10, 20, 0, 0]
    assert feed.stored == list(range(45)), "what is new"
    assert [(each.window_start, each.window_end) for each in await waiting(database)] == [(LEFT.start, LEFT.end)]
    assert run.status() == "partial_failure"
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start, cursor.read_from) == (LATER, None, LATER - timedelta(minutes=30))

    last = polling_run(database, now=LATER + timedelta(minutes=15))
    healed = FakeFeed(last, rows=45)
    await poll_scopes(last, {"": healed}, REACH)
    assert healed.stored_of[LEFT] == list(range(45))


@pytest.mark.parametrize(("asks_once", "asked"), [(False, [10, 20, 0]), (True, [0])])
async def test_an_outage_defers_nothing(database: AsyncEngine, *, asks_once: bool, asked: list[int]) -> None:
    before = await cursor_of(database)
    run = replace(polling_run(database, now=LATER), asks_once=asks_once)
    feed = FakeFeed(run, rows=45, fails=dict.fromkeys((0, 10, 20), FAILS))
    with pytest.raises(ServiceFailed):
        await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == asked
    assert await cursor_of(database) == before
    assert not await waiting(database)


async def test_after_an_outage_a_run_asks_the_first_page_first(database: AsyncEngine) -> None:
    run = replace(polling_run(database, now=LATER), asks_once=True)
    feed = FakeFeed(run, rows=5, fails=BROKEN)
    await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 10, 0]
    assert len(await waiting(database)) == 1


class _TokenFeed(FakeFeed):
    """Pages are asked for by tokens, and those of an earlier run are unknown."""

    async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
        number = offset if isinstance(offset, int) else int(offset.removeprefix("token-"))
        if number and not self.asked:
            self.asked.append((window, offset))
            raise InvalidRequest("400: unknown offset", status=400)
        page = await super().fetch(window, number)
        return replace(page, next_offset=f"token-{page.next_offset}" if page.records else None)


async def test_an_offset_that_asknews_forgot_holds_up_nothing(database: AsyncEngine) -> None:
    run = polling_run(database, now=LATER)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"Claude": crashing(_TokenFeed(run, rows=25), at=10)}, REACH)
    for number in (1, 2):
        later = polling_run(database, now=LATER + number * timedelta(minutes=15))
        feed = _TokenFeed(later, rows=25)
        await poll_scopes(later, {"Claude": feed}, REACH)
        assert later.statistics.caught_up
    assert not await waiting(database, "Claude")
    assert feed.stored == [*range(25), *range(25)], "what is new, and then what was left, whole"
