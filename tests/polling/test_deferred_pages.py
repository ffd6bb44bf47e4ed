"""Deferred pages: what was stepped over is fetched whole by later runs, after what is new, and hides no failure."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import CredentialsRefused, Page, ServiceFailed
from flows.database.engine import reading
from flows.polling.budget import BudgetExhausted
from flows.polling.pages import poll_scopes
from flows.polling.windows import Window
from tests.polling.runs import (
    FAILS,
    NOW,
    REACH,
    REFUSED,
    FakeFeed,
    crashing,
    defer_pages,
    polling_run,
    row_of,
    waiting_pages,
)

# By run, the number of the request that fails: any of the first run's, or its first and any of the second's.
FAILING_REQUESTS = [*({0: request} for request in range(1, 8)), *({0: 1, 1: request} for request in range(1, 13))]


@pytest.mark.parametrize("cap", [10, 25, 50])
@pytest.mark.parametrize("rows", [10, 37, 64])
async def test_whichever_request_fails_every_row_of_every_window_is_stored_exactly_once(
    database: AsyncEngine, rows: int, cap: int
) -> None:
    for failing in FAILING_REQUESTS:
        scope = f"fails by run: {failing}"
        stored: defaultdict[Window, list[int]] = defaultdict(list)
        for number in range(4):
            run = polling_run(database, now=NOW + number * timedelta(minutes=15))
            feed = FakeFeed(run, rows, cap=cap, failing_request=failing.get(number))
            await poll_scopes(run, {scope: feed}, REACH)
            for window, records in feed.stored_of.items():
                stored[window] += records
        assert [sorted(records) for records in stored.values()] == [list(range(rows))] * 4, scope
        assert not await waiting_pages(database, scope), scope


async def test_a_page_that_fails_before_the_plans_page_size_is_known_is_fetched_whole(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=37, fails={0: FAILS})}, REACH)

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    healed = FakeFeed(later, rows=37)
    await poll_scopes(later, {"": healed}, REACH)
    assert healed.stored_of[Window(NOW - REACH.lookback, NOW)] == list(range(37))


async def test_a_resumed_window_whose_first_page_fails_is_fetched_whole(database: AsyncEngine) -> None:
    run = polling_run(database)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"": crashing(FakeFeed(run, rows=64), at=20)}, REACH)
    resumed = polling_run(database, now=NOW + timedelta(minutes=15))
    await poll_scopes(resumed, {"": FakeFeed(resumed, rows=64, failing_request=1)}, REACH)

    later = polling_run(database, now=NOW + timedelta(minutes=30))
    healed = FakeFeed(later, rows=64)
    await poll_scopes(later, {"": healed}, REACH)
    assert healed.stored_of[Window(NOW - REACH.lookback, NOW)] == list(range(20, 64))


async def test_a_deferred_page_is_fetched_whole_by_counting_rows_where_offsets_have_become_opaque(
    database: AsyncEngine,
) -> None:
    class OpaqueFeed(FakeFeed):
        async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
            return replace(await super().fetch(window, offset), next_offset=f"after {offset}")

    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=37, fails={0: FAILS})}, REACH)
    at_once = polling_run(database)
    healed = OpaqueFeed(at_once, rows=37)
    await poll_scopes(at_once, {"": healed}, REACH)
    assert healed.stored == list(range(37))


async def test_what_remains_of_a_deferred_page_waits_when_its_next_request_fails(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=37, fails={0: FAILS})}, REACH)

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    await poll_scopes(later, {"": FakeFeed(later, rows=37, fails={20: FAILS})}, REACH)
    waiting = [page for page in await waiting_pages(database) if page.window_end == NOW]
    assert [(page.page_offset, page.page_size) for page in waiting] == [(20, 30)]


async def test_the_last_deferred_page_closes_the_run_in_its_transaction(database: AsyncEngine) -> None:
    await defer_pages(database, 10, 20)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5)
    closed: list[bool] = []

    async def note_whether_closed() -> None:
        closed.append(await row_of(run) is not None)

    feed.before_fetch = note_whether_closed
    await poll_scopes(run, {"": feed}, REACH)
    assert closed == [False] * 3, "the new page and the first deferred page leave it open"
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.details["pages"]) == ("success", 3)


async def test_a_crash_in_the_last_deferred_page_claims_no_success(database: AsyncEngine) -> None:
    await defer_pages(database, 10)
    run = polling_run(database)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"": crashing(FakeFeed(run, rows=15), at=10)}, REACH)
    assert await row_of(run) is None
    assert len(await waiting_pages(database)) == 1


async def test_a_deferred_page_that_fails_again_makes_a_partial_failure_and_ends_the_retrying(
    database: AsyncEngine,
) -> None:
    await defer_pages(database, 10, 20)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5, fails={10: FAILS, 20: FAILS})
    await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 10]
    assert run.status() == "partial_failure"
    assert run.statistics.failures == ["news, deferred page at 10 of 2026-01-05 06:00: 500: the service failed"]
    assert await row_of(run) is None, "it is closed with this failure in it"

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    feed = FakeFeed(later, rows=5, fails={10: FAILS})
    await poll_scopes(later, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 20, 10], "the least often tried first"


async def test_a_deferred_page_is_not_asked_for_once_the_runs_time_is_up(database: AsyncEngine) -> None:
    await defer_pages(database, 10, 20)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5, slow={10})
    await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 10]
    assert (run.status(), run.statistics.caught_up) == ("success", False)
    assert [page.page_offset for page in await waiting_pages(database)] == [20]


async def test_deferred_pages_do_not_hide_an_outage_and_are_not_tried_in_it(database: AsyncEngine) -> None:
    await defer_pages(database, 10, 20)
    run = polling_run(database)
    feed = FakeFeed(run, rows=5, fails=dict.fromkeys((0, 10, 20, 50), FAILS), slow={10, 20})
    with pytest.raises(ServiceFailed):
        await poll_scopes(run, {"": feed}, REACH)
    assert [offset for _, offset in feed.asked] == [0, 50]
    assert await row_of(run) is None


async def test_a_run_that_only_had_deferred_pages_to_get_and_got_none_is_a_failure(database: AsyncEngine) -> None:
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5)}, REACH)
    await defer_pages(database, 10)
    at_once = polling_run(database)
    with pytest.raises(ServiceFailed):
        await poll_scopes(at_once, {"": FakeFeed(at_once, rows=5, fails={10: FAILS})}, REACH)
    assert await row_of(at_once) is None


async def test_what_is_new_in_every_scope_comes_before_the_deferred_pages_of_any(database: AsyncEngine) -> None:
    await defer_pages(database, 10, scope="Claude")
    run = polling_run(database)
    asked: list[str] = []
    feeds = {scope: FakeFeed(run, rows=5) for scope in ("Claude", "Gemini")}
    for scope, feed in feeds.items():

        async def note_scope(scope: str = scope) -> None:
            asked.append(scope)

        feed.before_fetch = note_scope
    await poll_scopes(run, feeds, REACH)
    assert asked == ["Claude", "Gemini", "Claude"]
    assert await row_of(run) is not None


@pytest.mark.parametrize("error", [REFUSED, BudgetExhausted("spent")])
async def test_an_error_that_is_not_the_pages_own_does_not_count_against_a_deferred_page(
    database: AsyncEngine, error: CredentialsRefused | BudgetExhausted
) -> None:
    await defer_pages(database, 10)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE deferred_pages SET first_failed_at = '2020-01-01 00:00:00'"))
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5, fails={10: error})}, REACH)
    assert run.status() == "partial_failure"
    assert len(await waiting_pages(database)) == 1


async def test_a_deferred_page_that_keeps_failing_is_given_up_aloud(database: AsyncEngine) -> None:
    await defer_pages(database, 10)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE deferred_pages SET first_failed_at = '2020-01-01 00:00:00'"))
    run = polling_run(database)
    await poll_scopes(run, {"": FakeFeed(run, rows=5, fails={10: FAILS})}, REACH)
    assert not await waiting_pages(database)
    (failure,) = run.statistics.failures
    assert failure.endswith("Given up: see rejected_records.")
    async with reading(database) as connection:
        rejected = (await connection.execute(text("SELECT kind, reason FROM rejected_records"))).all()
    assert [tuple(row) for row in rejected] == [("page", "ServiceFailed: 500: the service failed")]


async def test_near_the_budgets_end_no_deferred_page_is_asked_for(database: AsyncEngine) -> None:
    await defer_pages(database, 10)
    run = polling_run(database, is_tight=True)
    feed = FakeFeed(run, rows=5)
    await poll_scopes(run, {"": feed}, REACH)
    assert len(feed.asked) == 1
    row = await row_of(run)
    assert row is not None
    assert row.status == "success"
