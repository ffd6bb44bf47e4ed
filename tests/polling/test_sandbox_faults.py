"""Each misbehaviour that is known of a source, by the sandbox's own fault: nothing is lost, and the run says so.

One that drips its page in is in `test_bounds.py`, as it needs a real connection.
"""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.sandbox import Fault, create_app
from flows.database.engine import create_engine, reading
from flows.poll_stories import JOB_NAME, NEVER_SLICED
from flows.polling.pages import poll_scopes
from flows.polling.statistics import Statistics
from flows.polling.storage.tables import Article, RedditThread, RejectedRecord, Story, StorySentiment
from flows.polling.stories_feed import StoriesFeed
from flows.polling.windows import Reach
from tests.asknews.fakes import client_of
from tests.polling.runs import polling_run
from tests.polling.simulated import MATCHER, NAMES, Poller
from tests.polling.test_any_history import Source
from tests.polling.test_source import seeded
from tests.support.sandbox_server import ManualClock

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
STORIES = Reach(2 * DAY, timedelta(hours=2), slice=NEVER_SLICED)


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = await seeded(create_engine(sqlite_url))
    yield engine
    await engine.dispose()


def source(**options: Any) -> Source:
    clock = ManualClock()
    return Source(clock, create_app(clock=clock, slot_seconds=1_800, **options))


async def poll(
    engine: AsyncEngine,
    source: Source,
    *faults: Fault,
    at: int = 1,
    hours: int = 3,
    ahead: timedelta = timedelta(0),
) -> list[Statistics]:
    """Poll each hour, in the run `at` with `faults`. All that was shown an hour ago is stored in the end."""
    poller, began = Poller(engine, source, clock_ahead=ahead), source.now
    for number in range(hours):
        source.sandbox.faults.clear()
        source.sandbox.faults.add(faults if number == at else ())
        await poller.poll()
        source.clock.at += HOUR
    assert await missing(engine, source, began) == set()
    return poller.runs


async def missing(engine: AsyncEngine, source: Source, began: Any) -> set[Any]:
    async with reading(engine) as connection:
        stored = set(await connection.scalars(select(Article.article_id)))
    by = source.now - HOUR
    search, until = source.sandbox.search, int(by.timestamp())
    stamps = search.timeline.between(int((began - DAY + HOUR).timestamp()), until, now=until)
    articles = [search.newsroom.article(stamp) for stamp in stamps]
    shown = {
        article.stamp.article_id for article in articles if any(name.casefold() in article.searched for name in NAMES)
    }
    assert shown
    return shown - stored


async def test_what_becomes_visible_late_is_counted_as_late(engine: AsyncEngine) -> None:
    runs = await poll(engine, source(late_share=0.5, late_by_seconds=2_400), hours=12)
    assert sum(run.late for run in runs)


async def test_a_database_that_is_ahead_of_the_source_loses_nothing(engine: AsyncEngine) -> None:
    await poll(engine, source(), hours=12, ahead=timedelta(minutes=20))


@pytest.mark.parametrize("cap", [12, 8, 5])
async def test_a_cap_of_another_number_is_learnt(engine: AsyncEngine, cap: int) -> None:
    runs = await poll(engine, source(page_cap=cap))
    assert not any(run.failures for run in runs)


@pytest.mark.parametrize("kind", ["short_page", "empty_page"])
async def test_a_page_that_hides_its_rest_is_made_up_for(engine: AsyncEngine, kind: Any) -> None:
    runs = await poll(engine, source(page_cap=4), Fault(kind=kind, times=3), hours=12)
    assert any(run.late or run.late_finds for run in runs)


async def test_a_failed_page_is_asked_for_again_as_time(engine: AsyncEngine) -> None:
    late = source(page_cap=4, late_share=0.3, late_by_seconds=1_800)
    runs = await poll(engine, late, Fault(kind="service_failed"), hours=12)
    assert runs[1].deferred_stretches == 1
    assert "Deferred to a later run." in runs[1].failures[0]


async def test_another_order_at_each_request_is_noticed(engine: AsyncEngine) -> None:
    odd = source(page_cap=3)
    began = odd.now
    odd.sandbox.faults.add([Fault(kind="shuffled", times="forever")])
    poller = Poller(engine, odd)
    runs = [await poller.poll() for _ in range(3)]
    odd.clock.at += HOUR
    assert await missing(engine, odd, began) == set()
    assert sum(run.deferred_stretches for run in runs)


async def test_an_ignored_offset_is_told_and_read_around(engine: AsyncEngine) -> None:
    runs = await poll(engine, source(page_cap=3), Fault(kind="offset_ignored", times=20), at=0)
    assert "AskNews repeats a page" in runs[0].failures[0]
    assert runs[0].deferred_stretches


async def test_absurd_credits_leave_the_budget_alone(engine: AsyncEngine) -> None:
    runs = await poll(engine, source(), Fault(kind="absurd_credits", times="forever"))
    assert runs[1].credits == runs[1].requests


@pytest.mark.parametrize("kind", ["html_200", "gateway_html", "redirect"])
async def test_an_outage_that_costs_nothing_is_not_booked(engine: AsyncEngine, kind: Any) -> None:
    runs = await poll(engine, source(), Fault(kind=kind, times="forever"))
    assert runs[1].failures
    assert (runs[1].credits, runs[1].uncertain_credits) == (0, 0)


async def test_a_reset_is_booked_as_uncertain(engine: AsyncEngine) -> None:
    broken = source()
    poller, began = Poller(engine, broken), broken.now

    async def reset() -> None:
        raise httpx.ReadError("the connection is reset")

    await poller.poll()
    broken.clock.at += HOUR
    broken.before = [reset] * 2
    run = await poller.poll()
    assert run.failures
    assert (run.credits, run.uncertain_credits) == (0, run.requests)
    broken.before = []
    broken.clock.at += HOUR
    await poller.poll()
    broken.clock.at += HOUR
    assert await missing(engine, broken, began) == set()


async def test_articles_with_odd_side_fields_are_stored_and_say_so(engine: AsyncEngine) -> None:
    odd = source()
    odd.sandbox.faults.add([Fault(kind="odd_fields", times="forever")])
    run = await Poller(engine, odd).poll()
    async with reading(engine) as connection:
        altered = list(await connection.scalars(select(Article.altered_fields)))
        rejected = await connection.scalar(select(func.count()).select_from(RejectedRecord))
    assert (run.inserted, rejected) == (len(altered), 0)
    assert all(altered)


async def poll_stories(engine: AsyncEngine, source: Source, *faults: Fault) -> Statistics:
    source.sandbox.faults.clear()
    source.sandbox.faults.add(faults)
    run = polling_run(engine, now=source.now)
    run.job_name = JOB_NAME
    async with client_of(source) as client:
        await poll_scopes(run, {"Claude": StoriesFeed(client, run.budget, "Claude", MATCHER, 10, 3)}, STORIES)
    assert run.statistics.inserted + run.statistics.unchanged + run.statistics.updated > 0
    assert run.statistics.rejected == 0
    return run.statistics


async def test_a_thread_with_a_relative_address_costs_no_story(engine: AsyncEngine) -> None:
    await poll_stories(engine, source(), Fault(kind="odd_addresses", times="forever"))
    async with reading(engine) as connection:
        addresses = list(await connection.scalars(select(RedditThread.url)))
    assert addresses
    assert all(address.startswith("https://www.reddit.com/r/") for address in addresses)


async def test_stories_with_odd_side_fields_are_stored_and_say_so(engine: AsyncEngine) -> None:
    run = await poll_stories(engine, source(), Fault(kind="odd_fields", times="forever"))
    async with reading(engine) as connection:
        altered = list(await connection.scalars(select(Story.altered_fields)))
    assert run.inserted == len(altered)
    assert all(altered)


async def test_an_answer_without_rolling_means_takes_none_away(engine: AsyncEngine) -> None:
    async def rolling() -> list[Any]:
        async with reading(engine) as connection:
            return list(
                await connection.scalars(
                    select(StorySentiment.rolling).order_by(StorySentiment.story_id, StorySentiment.at)
                )
            )

    told = source()
    await poll_stories(engine, told)
    before = await rolling()
    assert any(each is not None for each in before)
    told.clock.at += timedelta(minutes=1)
    await poll_stories(engine, told, Fault(kind="no_rolling", times="forever"))
    assert await rolling() == before
