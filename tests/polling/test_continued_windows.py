"""A window that a later run goes on with is read again whole: rows may have moved between the two runs."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.polling.pages import poll_scopes
from flows.polling.windows import Window
from tests.polling.runs import NOW, REACH, FakeFeed, crashing, cursor_of, polling_run, row_of, waiting

LEFT = Window(NOW - REACH.lookback, NOW)


@pytest.fixture(autouse=True)
async def left_window(database: AsyncEngine) -> None:
    run = polling_run(database)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"": crashing(FakeFeed(run, rows=45), at=30)}, REACH)


async def test_rows_that_moved_between_two_runs_are_found(database: AsyncEngine) -> None:
    run = polling_run(database, now=NOW + timedelta(minutes=15))
    feed = FakeFeed(run, rows=40)  # five of those before the offset have gone, so that five others moved over it
    await poll_scopes(run, {"": feed}, REACH)
    assert feed.stored_of[LEFT] == [*range(30, 40), *range(40)]
    assert not await waiting(database)
    assert run.status() == "success"
    await run.finish()
    row = await row_of(run)
    assert row is not None
    assert row.details["fetched"] == 90


async def test_near_the_budgets_end_no_window_is_paid_for_twice(database: AsyncEngine) -> None:
    for number in range(1, 5):
        run = polling_run(database, now=NOW + number * timedelta(minutes=15), is_tight=True)
        feed = FakeFeed(run, rows=5)
        await poll_scopes(run, {"": feed}, REACH)
        assert len(feed.asked) <= 3
        assert not await waiting(database)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert cursor.watermark == NOW + timedelta(hours=1)
