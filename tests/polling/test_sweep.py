"""The sweep: what it asks to prove that nothing is missing, and what it reads again where something is."""

import random
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.poll_news import poll_news
from flows.polling import run as polling_run
from flows.polling.storage.deferred import deferred_stretches
from flows.polling.windows import Window
from tests.polling.simulated import BEGIN, Index, Item, Poller, made_up
from tests.polling.test_source import seeded

SIX_HOURS = timedelta(hours=6)
# What was crawled longer ago was shown within a day, and a sweep came after that.
SWEPT = timedelta(hours=31)


class Asked:
    """Which stretches of time were asked for, in hours, and from which row on."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, int]] = []

    def __call__(self, request: httpx.Request) -> None:
        asked = request.url.params
        hours = (int(asked["end_timestamp"]) - int(asked["start_timestamp"])) / 3600
        self.requests.append((hours, int(asked["offset"])))

    def take(self) -> list[tuple[float, int]]:
        taken, self.requests = self.requests, []
        return taken


async def swept_once(database: AsyncEngine, index: Index) -> tuple[Poller[Index], Asked]:
    """A poller whose first run has swept, 6 hours ago."""
    poller, asked = Poller(await seeded(database), index), Asked()
    index.answer = asked
    await poller.poll()
    index.now += SIX_HOURS
    await poller.poll()
    asked.take()
    index.now += SIX_HOURS
    return poller, asked


def one_more(index: Index) -> Item:
    """Let one article come late, of the last 20 hours."""
    since = index.now - timedelta(hours=20)
    late = next(item for item in made_up(hours=12, a_day=50, seed=2) if item.crawled_at > since)
    index.items.append(late)
    return late


async def deferred(database: AsyncEngine) -> int:
    async with reading(database) as connection:
        return len(await deferred_stretches(connection, "poll_news", [""]))


async def test_a_sweep_that_finds_as_many_as_are_stored_asks_once(database: AsyncEngine) -> None:
    poller, asked = await swept_once(database, Index(made_up(hours=13, a_day=50)))
    run = await poller.poll()
    swept = [offset for hours, offset in asked.take() if hours > 24]
    assert len(swept) == 1
    assert (run.late_finds, run.failures) == (0, [])


async def test_no_sweep_is_due_until_six_hours_after_the_last(database: AsyncEngine) -> None:
    poller, asked = await swept_once(database, Index(made_up(hours=20, a_day=50)))
    await poller.poll()
    asked.take()
    poller.index.now += SIX_HOURS - timedelta(minutes=15)
    await poller.poll()
    assert not [hours for hours, _offset in asked.take() if hours > 24]
    poller.index.now += timedelta(minutes=15)
    await poller.poll()
    assert [hours for hours, _offset in asked.take() if hours > 24]


async def test_the_first_sweep_goes_back_as_far_as_the_first_poll(database: AsyncEngine) -> None:
    index, asked = Index(made_up(hours=1, a_day=50)), Asked()
    index.answer = asked
    await Poller(await seeded(database), index).poll()
    assert max(hours for hours, _offset in asked.take()) <= 24


async def test_only_the_slice_that_differs_is_read(database: AsyncEngine) -> None:
    index = Index(made_up(hours=13, a_day=50))
    poller, asked = await swept_once(database, index)
    one_more(index)
    run = await poller.poll()
    assert run.late_finds == 1
    slices = [offset for hours, offset in asked.take() if hours == 6 and offset == 0]
    assert len(slices) == 1


@pytest.mark.parametrize("status", [422, 500])
async def test_a_source_that_refuses_far_rows_is_swept_in_slices(database: AsyncEngine, status: int) -> None:
    index = Index(made_up(hours=14, a_day=50))
    poller, asked = await swept_once(database, index)

    def refuse(request: httpx.Request) -> httpx.Response | None:
        asked(request)
        return httpx.Response(status) if int(request.url.params["offset"]) > 30 else None

    index.answer = refuse
    one_more(index)
    run = await poller.poll()
    assert (run.late_finds, run.failures) == (1, [])
    asked.take()
    index.now += timedelta(minutes=15)
    await poller.poll()
    assert not [hours for hours, _offset in asked.take() if hours > 24], "the next one is due in six hours"


async def test_a_slice_of_which_nothing_is_stored_is_read(database: AsyncEngine) -> None:
    early = BEGIN - timedelta(hours=6)
    poller, asked = await swept_once(database, Index([Item(uuid4(), early, early)]))
    await poller.poll()
    assert not [hours for hours, _offset in asked.take() if hours == 6], "the one article is there"
    poller.index.now += SIX_HOURS
    late = poller.index.now - timedelta(hours=10)
    poller.index.items.append(Item(uuid4(), late, late))
    run = await poller.poll()
    assert run.late_finds == 1
    assert min(offset for _hours, offset in asked.take()) == 0


async def test_a_slice_that_cannot_be_read_is_read_again_later(database: AsyncEngine) -> None:
    index = Index(made_up(hours=13, a_day=50))
    poller, asked = await swept_once(database, index)
    late = (index.now - timedelta(hours=10)).replace(microsecond=0)
    index.items.append(Item(uuid4(), late, late))

    def fail_in_the_slice(request: httpx.Request) -> httpx.Response | None:
        asked(request)
        return httpx.Response(500) if asked.requests[-1] == (6, 0) else None

    index.answer = fail_in_the_slice
    run = await poller.poll()
    assert len(run.failures) == 1
    assert asked.requests[-1] == (6, 0)
    assert await deferred(database) == 1


@pytest.mark.parametrize("share", [3, 10])
async def test_rejected_articles_make_a_slice_differ_once(database: AsyncEngine, share: int) -> None:
    index = Index(made_up(hours=13, a_day=50))
    index.poisoned = {item.article_id for item in index.items[::share]}
    poller, asked = await swept_once(database, index)
    swept: list[int] = []
    for _ in range(3):
        await poller.poll()
        swept.append(len([hours for hours, _offset in asked.take() if hours > 24 or hours == 6]))
        index.now += SIX_HOURS
    assert swept[0] > 1
    assert swept[-1] == 1


async def test_an_article_spoilt_when_it_was_found_late_is_found_by_the_next_sweep(database: AsyncEngine) -> None:
    index = Index(made_up(hours=13, a_day=50))
    poller, _asked = await swept_once(database, index)
    index.poisoned = {one_more(index).article_id}
    assert (await poller.poll()).late_finds == 0
    index.poisoned = set()
    index.now += SIX_HOURS
    assert (await poller.poll()).late_finds == 1


def test_the_longest_sweep_needs_no_archive() -> None:
    hours: int = poll_news.parameters.properties["sweep_hours"]["maximum"]
    now = BEGIN + timedelta(microseconds=1)
    start = (now - timedelta(hours=hours)).replace(microsecond=0)
    assert not Window(start, now).needs_archive(now)


@pytest.mark.parametrize("pages", [0, 2], ids=["for nothing", "for the poll alone"])
async def test_a_sweep_without_time_is_due_at_the_next_run(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    index = Index(made_up(hours=13, a_day=50))
    poller, asked = await swept_once(database, index)
    with monkeypatch.context() as patch:
        patch.setattr(polling_run, "MOST_PAGES", pages)
        run = await poller.poll()
    assert not run.caught_up
    assert len(asked.take()) == pages
    await poller.poll()
    assert [hours for hours, _offset in asked.take() if hours > 24]


async def test_a_sweep_that_was_cut_off_begins_again_and_then_rests(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(made_up(hours=13, a_day=50))
    poller, asked = await swept_once(database, index)
    for hours in (10, 20):
        crawled_at = (index.now - timedelta(hours=hours)).replace(microsecond=0)
        index.items.append(Item(uuid4(), crawled_at, crawled_at))
    with monkeypatch.context() as patch:
        patch.setattr(polling_run, "MOST_PAGES", 3)
        run = await poller.poll()
    assert not run.caught_up
    assert asked.take()[-1] == (6, 0), "the slice in which its pages ran out"
    assert await deferred(database) == 1
    await poller.poll()
    assert sum(run.late_finds for run in poller.runs) == 2
    asked.take()
    index.now += timedelta(minutes=15)
    await poller.poll()
    assert not [hours for hours, _offset in asked.take() if hours > 24]


async def test_what_comes_up_to_a_day_late_is_found_by_the_sweep_alone(sqlite_url: str) -> None:
    rng = random.Random(1)  # noqa: S311  # repeatable, not secret
    items = made_up(hours=34, a_day=30)
    # The polls reach back six hours at the most.
    very_late = {item.article_id: timedelta(hours=rng.uniform(7, 24)) for item in items[::6] if item.crawled_at > BEGIN}
    index = Index(
        [replace(item, visible_at=item.crawled_at + very_late.get(item.article_id, timedelta(0))) for item in items]
    )
    engine = create_engine(sqlite_url)
    poller = Poller(await seeded(engine), index)
    for _ in range(34):
        await poller.poll()
        index.now += timedelta(hours=1)
    found = [item for item in items if item.article_id in very_late and item.crawled_at < index.now - SWEPT]
    assert not await poller.missing(crawled_before=index.now - SWEPT)
    assert sum(run.late_finds for run in poller.runs) >= len(found) > 0
    await engine.dispose()
