"""The page loop: nothing lost, nothing doubled, whatever fails and wherever it stops."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import CredentialsRefused, ServiceFailed
from flows.database.engine import reading
from flows.polling.budget import BudgetExhausted
from flows.polling.pages import poll_scopes
from flows.polling.storage.cursors import stalest_scopes
from tests.polling.runs import (
    FAILS,
    JOB,
    NOW,
    REACH,
    REFUSED,
    FakeFeed,
    crashing,
    cursor_of,
    polling_run,
    row_of,
    waiting,
)


async def test_a_poll_pages_to_the_end_and_moves_the_watermark(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = FakeFeed(run, rows=25)
    await poll_scopes(run, {"": feed}, REACH)
    assert feed.stored == list(range(25))
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start) == (NOW, None)
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.closed_by) == ("success", "flow")
    assert row.details["fetched"] == 25


async def test_a_run_tells_how_long_ago_the_last_poll_was(database: AsyncEngine) -> None:
    gaps: list[float] = []
    for minutes in (0, 15):
        run = polling_run(database, now=NOW + timedelta(minutes=minutes))
        await poll_scopes(run, {"": FakeFeed(run, rows=5)}, REACH)
        gaps.append(run.statistics.gap_minutes)
    assert gaps == [24 * 60, 15]


async def test_a_crash_in_the_last_page_keeps_the_pages_before_it(database: AsyncEngine) -> None:
    run = polling_run(database)
    with pytest.raises(RuntimeError):
        await poll_scopes(run, {"": crashing(FakeFeed(run, rows=25), at=20)}, REACH)
    assert await row_of(run) is None
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.next_offset) == (None, "20")

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    resumed = FakeFeed(later, rows=25)
    await poll_scopes(later, {"": resumed}, REACH)
    (first, second) = resumed.asked[0], resumed.asked[1]
    assert (first[0].end, first[1]) == (NOW, 20), "the frozen window goes on where it stopped"
    assert (second[0].start, second[1]) == (NOW - REACH.overlap, 0), "and then comes what is new"


async def test_a_failing_page_is_deferred_once_the_next_succeeds(database: AsyncEngine) -> None:
    run = polling_run(database)
    run.zone = ZoneInfo("Europe/Berlin")
    feed = FakeFeed(run, rows=35, fails={10: FAILS})
    await poll_scopes(run, {"": feed}, REACH)
    assert feed.stored == [*range(10), *range(20, 35)]
    row = await row_of(run)
    assert row is not None
    assert row.status == "partial_failure"
    window = "04 Jan 13:00 CET to 05 Jan 13:00 CET"
    assert row.error_message == f"news, {window}: 500: the service failed Deferred to a later run."

    later = polling_run(database, now=NOW + timedelta(minutes=15))
    healed = FakeFeed(later, rows=35)
    await poll_scopes(later, {"": healed}, REACH)
    assert healed.asked[-1][0].end == NOW, "after what is new"
    assert healed.stored == [*range(35), *range(35)], "the window whole"
    assert not await waiting(database)


async def test_two_failing_pages_end_the_poll_where_the_first_was(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = FakeFeed(run, rows=45, fails={10: FAILS, 20: FAILS})
    await poll_scopes(run, {"": feed}, REACH)
    assert run.statistics.failures
    assert run.statistics.caught_up is False
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.next_offset) == (None, "10")


async def test_a_page_that_fails_at_the_runs_end_is_not_stepped_over(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = FakeFeed(run, rows=45, fails={0: FAILS}, slow={0})
    with pytest.raises(ServiceFailed):
        await poll_scopes(run, {"": feed}, REACH)
    assert len(feed.asked) == 1


async def test_a_poll_in_which_no_request_succeeds_is_a_failure(database: AsyncEngine) -> None:
    run = polling_run(database)
    with pytest.raises(ServiceFailed):
        await poll_scopes(run, {"": FakeFeed(run, rows=45, fails={0: FAILS, 50: FAILS})}, REACH)
    assert await row_of(run) is None


async def test_a_refused_key_ends_the_run_without_asking_for_more(database: AsyncEngine) -> None:
    run = polling_run(database)
    first, second = FakeFeed(run, rows=5, fails={0: REFUSED}), FakeFeed(run, rows=5)
    with pytest.raises(CredentialsRefused):
        await poll_scopes(run, {"Claude": first, "Gemini": second}, REACH)
    assert (len(first.asked), len(second.asked)) == (1, 0)


async def test_one_scope_that_fails_goes_to_the_end_of_the_queue(database: AsyncEngine) -> None:
    run = polling_run(database)
    broken = FakeFeed(run, rows=5, fails={0: FAILS, 50: FAILS})
    working = FakeFeed(run, rows=5)
    await poll_scopes(run, {"Claude": broken, "Gemini": working}, REACH)
    assert working.stored == list(range(5))
    row = await row_of(run)
    assert row is not None
    assert row.status == "partial_failure"
    async with reading(database) as connection:
        turn = await stalest_scopes(connection, JOB, ["Claude", "Gemini", "Llama"], 3)
    assert turn == ["Llama", "Claude", "Gemini"]


async def test_a_spent_budget_ends_the_run(database: AsyncEngine) -> None:
    run = polling_run(database)
    with pytest.raises(BudgetExhausted):
        await poll_scopes(run, {"": FakeFeed(run, rows=5, fails={0: BudgetExhausted("spent")})}, REACH)


async def test_near_the_budgets_end_a_run_goes_on_later(database: AsyncEngine) -> None:
    run = polling_run(database, is_tight=True)
    feed = FakeFeed(run, rows=95)
    await poll_scopes(run, {"": feed}, REACH)
    assert len(feed.asked) == 3
    cursor = await cursor_of(database)
    assert cursor is not None
    assert cursor.next_offset == "30"


async def test_a_run_stores_no_more_pages_than_its_flow_allows(database: AsyncEngine) -> None:
    run = polling_run(database)
    run.most_pages = 4
    await poll_scopes(run, {"": FakeFeed(run, rows=95)}, REACH)
    assert (run.statistics.pages, run.statistics.caught_up) == (4, False)


async def test_near_the_budgets_end_a_run_asks_for_few_pages(database: AsyncEngine) -> None:
    run = polling_run(database, is_tight=True)
    feed = FakeFeed(run, rows=5)
    await poll_scopes(run, {"": feed}, replace(REACH, slice=timedelta(hours=2)))
    assert len(feed.asked) == 3
    assert run.statistics.caught_up is False
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.next_offset) == (NOW - REACH.lookback + timedelta(hours=2), "5")


async def test_a_poll_that_another_flow_calls_stores_and_has_no_row(database: AsyncEngine) -> None:
    run = polling_run(database)
    run.flow_run.parent_task_run_id = uuid4()
    feed = FakeFeed(run, rows=25)
    await poll_scopes(run, {"": feed}, REACH)
    await run.finish()
    assert len(feed.stored) == 25
    assert await row_of(run) is None
