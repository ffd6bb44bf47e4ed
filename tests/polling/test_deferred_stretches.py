"""Deferred stretches: what was not read whole is read again as time, after what is new, and hides no failure."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from flows.asknews import AskNewsError, CredentialsRefused, Page, RequestTimedOut, ResponseTooLarge, ServiceFailed
from flows.database.engine import reading
from flows.polling.budget import BudgetExhausted
from flows.polling.pages import poll_scopes
from flows.polling.storage.deferred import DeferredStretch, defer_stretch
from flows.polling.windows import Window
from tests.polling.runs import (
    FAILS,
    JOB,
    NOW,
    REACH,
    REFUSED,
    FakeFeed,
    crashing,
    defer,
    polling_run,
    row_of,
    waiting,
)

# By run, the number of the request that fails: any of the first run's, or its first and any of the second's.
FAILING_REQUESTS = [*({0: request} for request in range(1, 8)), *({0: 1, 1: request} for request in range(1, 13))]
DRIPS_IN = RequestTimedOut("AskNews did not answer in time (TimeoutError)")
TOO_LARGE = ResponseTooLarge("the response is larger than allowed", status=200)


@pytest.mark.parametrize("cap", [10, 25, 50])
@pytest.mark.parametrize("rows", [10, 37, 64])
async def test_whichever_request_fails_every_row_is_stored(sqlite_database: AsyncEngine, rows: int, cap: int) -> None:
    for failing in FAILING_REQUESTS:
        scope = f"fails by run: {failing}"
        stored: defaultdict[Window, list[int]] = defaultdict(list)
        for number in range(4):
            run = polling_run(sqlite_database, now=NOW + number * timedelta(minutes=15))
            feed = FakeFeed(run, rows, cap=cap, failing_request=failing.get(number))
            await poll_scopes(run, {scope: feed}, REACH)
            for window, records in feed.stored_of.items():
                stored[window] += records
        assert [sorted(set(records)) for records in stored.values()] == [list(range(rows))] * 4, scope
        assert not await waiting(sqlite_database, scope), scope


async def test_the_whole_window_of_a_failed_page_is_asked_for_again(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=37, fails={0: FAILS})}, REACH)

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    healed = FakeFeed(later, rows=37)
    await poll_scopes(later, {"": healed}, REACH)
    assert healed.stored_of[Window(NOW - REACH.lookback, NOW)] == list(range(37))


async def test_a_stretch_is_dropped_with_its_last_page_alone(database: AsyncEngine) -> None:
    await defer(database, 6)
    run = polling_run(database)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"": crashing(FakeFeed(run, rows=15), at=15)}, REACH)
    assert len(await waiting(database)) == 1


@pytest.mark.parametrize("error", [TOO_LARGE, DRIPS_IN])
async def test_a_page_that_is_never_had_is_closed_in_by_halves(database: AsyncEngine, error: AskNewsError) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5)}, REACH)
    await defer(database, 6)
    later = polling_run(database)
    await poll_scopes(later, {"": FakeFeed(later, rows=25, fails={20: error})}, REACH)
    start = NOW - timedelta(hours=6)
    first, second = await waiting(database)
    assert (first.window_start, second.window_end) == (start, start + timedelta(minutes=15))
    assert first.window_end == second.window_start


async def test_a_stretch_that_fails_again_ends_the_reading(database: AsyncEngine) -> None:
    await defer(database, 6, 5)
    run = polling_run(database)
    feed = FakeFeed(run, rows=15, failing_request=4)
    with capture_logs() as events:
        await poll_scopes(run, {"": feed}, REACH)
    assert [event["event"] for event in events if event["log_level"] == "warning"] == ["deferred_stretch_failed"]
    assert len(feed.asked) == 4
    assert run.status() == "partial_failure"
    waits = "05 Jan 06:00 UTC to 05 Jan 06:15 UTC"
    assert run.statistics.failures == [f"news, deferred, {waits}: 500: the service failed"]
    assert await row_of(run) is None, "it is closed with this failure in it"

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    feed = FakeFeed(later, rows=5)
    await poll_scopes(later, {"": feed}, REACH)
    asked = list(dict.fromkeys(window.start for window, _ in feed.asked))
    assert asked[1:] == [NOW - timedelta(hours=5), NOW - timedelta(hours=6)], "the least often tried first"


async def test_a_stretch_is_not_begun_once_the_runs_time_is_up(database: AsyncEngine) -> None:
    await defer(database, 6, 5)
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5, slow={5})}, REACH)
    assert (run.status(), run.statistics.caught_up) == ("success", False)
    assert len(await waiting(database)) == 2


async def test_a_run_whose_time_is_up_leaves_other_stretches(database: AsyncEngine) -> None:
    await defer(database, 6, 5)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5)

    async def take_the_time_in_a_stretch() -> None:
        if len(feed.asked) == 2:
            feed.slow = {5}

    feed.before_fetch = take_the_time_in_a_stretch
    await poll_scopes(run, {"": feed}, REACH)
    assert (run.status(), run.statistics.caught_up) == ("success", False)
    assert len(await waiting(database)) == 1


async def test_deferred_stretches_hide_no_outage_and_wait_in_it(database: AsyncEngine) -> None:
    await defer(database, 6)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5, fails=dict.fromkeys((0, 50), FAILS))
    with pytest.raises(ServiceFailed):
        await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 50]
    assert await row_of(run) is None


async def test_a_run_that_read_none_of_its_stretches_is_a_failure(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5)}, REACH)
    await defer(database, 6)
    at_once = polling_run(database)
    with pytest.raises(ServiceFailed):
        await poll_scopes(at_once, {"": FakeFeed(at_once, rows=5, fails={0: FAILS})}, REACH)


async def test_what_is_new_in_any_scope_comes_before_all_stretches(database: AsyncEngine) -> None:
    await defer(database, 6, scope="Claude")
    run = polling_run(database)
    asked: list[str] = []
    feeds = {scope: FakeFeed(run, rows=0) for scope in ("Claude", "Gemini")}
    for scope, feed in feeds.items():

        async def note_scope(scope: str = scope) -> None:
            asked.append(scope)

        feed.before_fetch = note_scope
    await poll_scopes(run, feeds, REACH)
    assert asked == ["Claude", "Gemini", "Claude"]


@pytest.mark.parametrize("error", [REFUSED, BudgetExhausted("spent")])
async def test_an_error_not_the_pages_own_does_not_count_for_a_stretch(
    database: AsyncEngine, error: CredentialsRefused | BudgetExhausted
) -> None:
    await defer(database, 6)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE deferred_pages SET first_failed_at = '2020-01-01 00:00:00'"))
    run = polling_run(database)
    feed = FakeFeed(run, rows=5)

    async def fail_in_the_stretch() -> None:
        if len(feed.asked) == 2:
            feed.fails = {0: error}

    feed.before_fetch = fail_in_the_stretch
    await poll_scopes(run, {"": feed}, REACH)
    assert run.statistics.failures == [f"news, deferred, 05 Jan 06:00 UTC to 05 Jan 06:15 UTC: {error}"]
    assert run.status() == "partial_failure"
    assert len(await waiting(database)) == 1


class _MovingFeed(FakeFeed):
    """Rows move once, between the first two pages; of `moves_in`, where that is set."""

    moves_in: Window | None = None

    async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
        page = await super().fetch(window, offset)
        asked = [each for each, _offset in self.asked if self.moves_in in (None, each)]
        is_second = len(asked) == 2 and asked[-1] == window
        return replace(page, records=[9, *page.records[1:]]) if is_second else page


async def test_a_stretch_whose_rows_move_is_read_by_halves(database: AsyncEngine) -> None:
    await defer(database, 6)
    run = polling_run(database)
    feed = _MovingFeed(run, rows=15)
    start = NOW - timedelta(hours=6)
    feed.moves_in = Window(start, start + timedelta(minutes=15))
    halves = feed.moves_in.halves()
    assert halves is not None
    await poll_scopes(run, {"": feed}, REACH)
    windows = list(dict.fromkeys(window for window, _offset in feed.asked))
    assert windows[1:] == [feed.moves_in, *halves]
    assert (run.status(), run.whole_windows) == ("success", 3), "what is new, and both halves"
    assert not await waiting(database)


async def test_a_moving_stretch_too_short_for_halves_has_failed(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = _MovingFeed(run, rows=15)
    start = NOW - timedelta(hours=6)
    feed.moves_in = Window(start, start + timedelta(seconds=1))
    async with database.begin() as connection:
        stretch = DeferredStretch(JOB, "", feed.moves_in.start, feed.moves_in.end)
        await defer_stretch(connection, stretch, reason="an earlier failure")
    await poll_scopes(run, {"": feed}, REACH)
    assert "Rows moved between two pages. The stretch is too short" in run.statistics.failures[0]
    assert len(await waiting(database)) == 1


@pytest.mark.parametrize(("failing", "status", "fetched"), [(None, "success", 55), (5, "partial_failure", 40)])
async def test_a_row_tells_what_the_run_reads_again_itself(
    database: AsyncEngine, failing: int | None, status: str, fetched: int
) -> None:
    run = polling_run(database)
    moving = _MovingFeed(run, rows=25, failing_request=failing)
    await poll_scopes(run, {"Claude": moving, "Gemini": FakeFeed(run, rows=5)}, REACH)
    assert await row_of(run) is None
    await run.finish()
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.details["fetched"]) == (status, fetched)


async def test_a_stretch_that_keeps_failing_is_given_up(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=15)}, REACH)
    await defer(database, 6)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE deferred_pages SET first_failed_at = '2020-01-01 00:00:00'"))
    later = polling_run(database)
    with pytest.raises(ServiceFailed), capture_logs() as events:
        await poll_scopes(later, {"": FakeFeed(later, rows=15, fails={0: FAILS})}, REACH)
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["deferred_stretch_given_up"]
    assert not await waiting(database)
    async with reading(database) as connection:
        rejected = (await connection.execute(text("SELECT kind, reason FROM rejected_records"))).all()
    assert [tuple(row) for row in rejected] == [("stretch", "ServiceFailed: 500: the service failed")]


async def test_near_the_budgets_end_no_stretch_is_read_again(database: AsyncEngine) -> None:
    await defer(database, 6)
    run = polling_run(database, is_tight=True)
    feed = FakeFeed(run, rows=0)
    await poll_scopes(run, {"": feed}, REACH)
    assert len(feed.asked) == 1
    row = await row_of(run)
    assert row is not None
    assert row.status == "success"
