"""The same moment gives the same news, and new articles appear as time passes."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.sandbox.draw import Draw
from deployments.sandbox.timeline import LONGEST_LAG_SECONDS, SHORTEST_LAG_SECONDS, TimeFilter, Timeline
from tests.sandbox.asking import all_articles, answer, asking
from tests.support.sandbox_server import ManualClock

DAY = 24 * 3600
PROJECT_ROOT = Path(__file__).parents[2]


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


async def read_everything() -> str:
    """A day's articles and stories, as text."""
    clock = ManualClock()
    async with asking(clock=clock, page_cap=100) as client:
        articles = await all_articles(client, page_size=100)
        parameters = {"limit": 100, "expand_updates": True, "reddit": 3, "start_timestamp": clock.timestamp - DAY}
        stories = (await answer(client, "/v1/stories", parameters))["stories"]
    assert articles
    assert stories
    return json.dumps([articles, stories])


async def test_another_process_makes_up_the_same_news() -> None:
    program = "import asyncio; from tests.sandbox import test_time; print(asyncio.run(test_time.read_everything()))"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        cwd=PROJECT_ROOT, env={**os.environ, "PYTHONHASHSEED": "1"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await other.communicate()
    assert printed.decode().strip() == await read_everything()


async def test_the_news_of_another_moment_can_be_served_as_new() -> None:
    then, now = ManualClock(), ManualClock(datetime(2026, 11, 24, 3, 33, 33, tzinfo=UTC))
    shift = now.timestamp - then.timestamp

    async def read(clock: ManualClock, as_of: datetime | None) -> tuple[dict[str, float], dict[str, float]]:
        async with asking(clock=clock, as_of=as_of, page_cap=100) as client:
            clock.advance(hours=3)
            articles = await all_articles(client, page_size=100)
            stories = (await answer(client, "/v1/stories", {"limit": 100}))["stories"]
        return (
            {one["article_id"]: datetime.fromisoformat(one["pub_date"]).timestamp() for one in articles},
            {one["uuid"]: one["updated_ts"] for one in stories},
        )

    expected = [{key: at + shift for key, at in found.items()} for found in await read(ManualClock(), None)]
    assert list(await read(now, then.at)) == expected
    assert all(expected)


async def test_an_article_keeps_its_content_while_time_passes() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        window = {"start_timestamp": clock.timestamp - DAY, "end_timestamp": clock.timestamp}
        before = await all_articles(client, **window)
        clock.advance(hours=3)
        assert await all_articles(client, **window) == before


async def test_the_sandbox_brings_a_few_hundred_articles_a_day() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        day = {article["article_id"] for article in await all_articles(client)}
        assert 250 < len(day) < 700
        counts: list[int] = []
        for _ in range(8):
            start = clock.timestamp + 1
            clock.advance(minutes=15)
            counts.append(len(await all_articles(client, start_timestamp=start)))
        assert sum(counts) >= 8 * 2
        assert max(counts) < 30


async def test_articles_are_crawled_50_to_104_minutes_late() -> None:
    async with asking(clock=ManualClock()) as client:
        lags = [moment(one["crawl_date"]) - moment(one["pub_date"]) for one in await all_articles(client)]
    assert min(lags) >= SHORTEST_LAG_SECONDS
    assert max(lags) <= LONGEST_LAG_SECONDS
    assert max(lags) - min(lags) > 40 * 60


async def test_nothing_from_the_future_is_found() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        articles = await all_articles(client, end_timestamp=clock.timestamp + DAY)
    assert max(moment(article["crawl_date"]) for article in articles) <= clock.timestamp


@pytest.mark.timeout(20)
def test_a_window_into_the_far_future_is_not_searched_whole() -> None:
    now = ManualClock().timestamp
    assert list(Timeline().between(now - DAY, 2**60, now=now)) == list(Timeline().between(now - DAY, now, now=now))


async def test_some_articles_share_their_crawl_date_to_the_second() -> None:
    async with asking(clock=ManualClock()) as client:
        dates = [article["crawl_date"] for article in await all_articles(client)]
    assert len(set(dates)) < len(dates)


async def test_some_articles_are_crawled_again_under_another_id() -> None:
    async with asking(clock=ManualClock()) as client:
        articles = await all_articles(client)
    assert len({article["article_id"] for article in articles}) == len(articles)
    assert len({article["article_url"] for article in articles}) < len(articles)


async def test_late_arrivals_are_visible_after_their_crawl_date() -> None:
    clock = ManualClock()
    async with asking(clock=clock, slot_seconds=20, late_share=0.5, late_by_seconds=600) as client:
        window = {"start_timestamp": clock.timestamp - 900, "end_timestamp": clock.timestamp}
        before = {article["article_id"] for article in await all_articles(client, **window)}
        clock.advance(seconds=600)
        after = {article["article_id"] for article in await all_articles(client, **window)}
    assert before < after


@pytest.mark.parametrize("time_filter", ["crawl_date", "pub_date"])
def test_windows_that_touch_hold_every_article_once(time_filter: TimeFilter) -> None:
    timeline = Timeline(slot_seconds=7)
    begin, end = 1_788_000_000, 1_788_004_000
    now = end + LONGEST_LAG_SECONDS
    whole = list(timeline.between(begin, end, now=now, time_filter=time_filter))
    parts = [
        stamp
        for start in range(begin, end + 1, 100)
        for stamp in timeline.between(start, min(start + 99, end), now=now, time_filter=time_filter)
    ]
    assert {stamp.article_id for stamp in whole} == {stamp.article_id for stamp in parts}
    assert len(whole) == len(parts) == len({stamp.article_id for stamp in whole}) > 500


def test_choices_are_the_same_on_every_machine() -> None:
    draw = Draw("a key", 1)
    assert [draw.number(0, 999) for _ in range(10)] == [862, 858, 151, 526, 31, 419, 500, 489, 231, 866]
