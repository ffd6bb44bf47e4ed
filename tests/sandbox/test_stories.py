"""`/v1/stories`: stories develop over time, and carry their sentiment hour by hour."""

from itertools import pairwise
from typing import Any

import pytest

from deployments.sandbox.content_files import load_content
from deployments.sandbox.story_plot import LONGEST_LIFE_SECONDS, PERIOD_SECONDS, PROVISIONAL_SECONDS, Plots
from tests.sandbox.asking import TRACKED, answer, asking
from tests.support.sandbox_server import ManualClock

STORIES = "/v1/stories"
HOUR = 3600
NOW = ManualClock().timestamp
# The stories that changed within the last day.
DAY = {"limit": 100, "start_timestamp": NOW - 24 * HOUR}
FULL = {**DAY, "expand_updates": "true", "max_updates": 10, "reddit": 5}


async def all_stories(client: Any, **parameters: Any) -> list[dict[str, Any]]:
    return (await answer(client, STORIES, {**FULL, **parameters}))["stories"]


def by_id(stories: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {story["uuid"]: story for story in stories}


async def test_every_tracked_entity_has_a_story_within_a_day() -> None:
    async with asking(clock=ManualClock()) as client:
        truth = await answer(client, "/_sandbox/stories", DAY)
        assert {name for story in truth for name in story["mentions"]} == set(TRACKED)
        for name in TRACKED:
            stories = await all_stories(client, query=name)
            assert stories, name
            for story in stories:
                texts = " ".join(f"{update['headline']} {update['story']}" for update in story["updates"])
                assert all(word in texts.casefold() for word in name.casefold().split())


async def test_a_search_for_a_name_also_finds_its_homonyms() -> None:
    async with asking(clock=ManualClock()) as client:
        truth = await answer(client, "/_sandbox/stories", {"query": "Claude", "start_timestamp": 0})
    assert {tuple(story["mentions"]) for story in truth if "Monet" in story["headline"]} == {()}
    assert any(story["mentions"] == ["Claude"] for story in truth)


async def test_series_are_parallel_hourly_and_of_documented_types() -> None:
    async with asking(clock=ManualClock()) as client:
        stories = await all_stories(client)
    assert len(stories) > 20
    for story in stories:
        moments = story["sentiment_timestamps"]
        assert len(moments) == len(story["sentiment"]) == len(story["rolling_sentiment"]) > 0
        assert {later - earlier for earlier, later in pairwise(moments)} <= {HOUR}
        assert set(story["sentiment"]) <= {-1, 0, 1}
        assert all(isinstance(value, float) and -1 <= value <= 1 for value in story["rolling_sentiment"])
        assert len(story["reddit_sentiment_timestamps"]) == len(story["reddit_sentiment"])
        assert all(-1 <= value <= 1 for value in story["reddit_sentiment"])
    assert any(0 in story["sentiment"] for story in stories)
    assert any(0.0 in story["reddit_sentiment"] for story in stories)
    assert any(len(story["reddit_sentiment"]) != len(story["sentiment"]) for story in stories)


async def test_reddit_data_comes_only_if_it_is_asked_for() -> None:
    async with asking(clock=ManualClock()) as client:
        without = await all_stories(client, reddit=0)
        two = await all_stories(client, reddit=2)
    for story in without:
        assert story["reddit_sentiment"] == story["reddit_sentiment_timestamps"] == []
        assert all(update["reddit_threads"] == [] for update in story["updates"])
    numbers = {len(update["reddit_threads"]) for story in two for update in story["updates"]}
    assert max(numbers) == 2
    assert any(story["reddit_sentiment"] for story in two)


async def test_the_newest_update_has_the_headline_and_no_topic() -> None:
    async with asking(clock=ManualClock()) as client:
        stories = await all_stories(client)
        plain = await all_stories(client, expand_updates="false")
    assert any(len(set(story["n_articles"])) > 1 for story in stories)
    for story in stories:
        assert story["n_articles"] == sorted(story["n_articles"], reverse=True)
        assert story["topic"] == "auto_generated"
        times = [update["story_update_ts"] for update in story["updates"]]
        assert times == sorted(times, reverse=True)
        assert story["updates"][0]["headline"]
        assert story["n_updates"] == len(story["updates"]) == len(story["update_uuids"]) == len(story["n_articles"])
    assert all(story["updates"] == [] for story in plain)


async def test_max_updates_and_max_articles_limit_what_is_sent() -> None:
    async with asking(clock=ManualClock()) as client:
        stories = await all_stories(client, max_updates=1, max_articles=2)
    updates = [update for story in stories for update in story["updates"]]
    assert {len(story["updates"]) for story in stories} == {1}
    assert max(len(update["cluster_articles"]) for update in updates) == 2
    assert max(len(update["article_ids"]) for update in updates) > 2


async def test_a_storys_articles_exist_and_are_about_it() -> None:
    async with asking(clock=ManualClock()) as client:
        window = {"start_timestamp": NOW - 6 * 24 * HOUR, "end_timestamp": NOW}
        articles = {one["article_id"]: one["mentions"] for one in await answer(client, "/_sandbox/articles", window)}
        stories = by_id(await all_stories(client))
        truth = await answer(client, "/_sandbox/stories", DAY)
    linked = 0
    for story in truth:
        for update in stories[story["uuid"]]["updates"] if story["uuid"] in stories else ():
            for article_id in update["article_ids"]:
                linked += 1
                assert not story["mentions"] or set(story["mentions"]) & set(articles[article_id])
    assert linked > 100


async def test_a_story_grows_and_its_latest_points_are_revised() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        before = by_id(await all_stories(client))
        clock.advance(hours=4)
        after = by_id(await all_stories(client))
    grown = more_updates = more_articles = revised = more_votes = 0
    for story_id, old in before.items():
        if (new := after.get(story_id)) is None:
            continue
        assert new["updated_ts"] >= old["updated_ts"]
        assert new["sentiment_timestamps"][: len(old["sentiment"])] == old["sentiment_timestamps"]
        settled = [at for at in old["sentiment_timestamps"] if old["updated_ts"] - at >= PROVISIONAL_SECONDS]
        assert new["sentiment"][: len(settled)] == old["sentiment"][: len(settled)]
        revised += new["sentiment"][: len(old["sentiment"])] != old["sentiment"]
        grown += len(new["sentiment"]) > len(old["sentiment"])
        more_updates += new["n_updates"] > old["n_updates"]
        more_articles += new["sources"] != old["sources"]
        votes = {thread["id"]: thread["upvotes"] for update in new["updates"] for thread in update["reddit_threads"]}
        for update in old["updates"]:
            for thread in update["reddit_threads"]:
                more_votes += votes.get(thread["id"], 0) > thread["upvotes"]
    assert min(grown, more_updates, more_articles, revised, more_votes) > 0


async def test_a_living_story_is_in_every_hours_window() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        week = {"start_timestamp": NOW - 5 * 24 * HOUR, "expand_updates": "false"}
        before = by_id(await all_stories(client, **week))
        alive = set(by_id(await all_stories(client, start_timestamp=NOW - HOUR)))
        assert 0 < len(alive) < len(before)
        clock.advance(seconds=LONGEST_LIFE_SECONDS)
        after = by_id(await all_stories(client, **week))
    both = before.keys() & after.keys()
    ended = both - alive
    assert ended
    assert all(before[story_id] == after[story_id] for story_id in ended)
    assert any(before[story_id] != after[story_id] for story_id in both & alive)


async def test_the_window_is_on_the_time_of_the_latest_change() -> None:
    start, end = NOW - 12 * HOUR, NOW - 6 * HOUR
    async with asking(clock=ManualClock()) as client:
        everything = await all_stories(client, expand_updates="false")
        found = await all_stories(client, expand_updates="false", start_timestamp=start, end_timestamp=end)
    expected = [story["uuid"] for story in everything if start <= story["updated_ts"] <= end]
    assert [story["uuid"] for story in found] == expected != []


async def test_known_stories_can_be_asked_for_by_their_ids() -> None:
    async with asking(clock=ManualClock()) as client:
        wanted = [story["uuid"] for story in await all_stories(client)][3:6]
        assert {story["uuid"] for story in await all_stories(client, uuids=wanted)} == set(wanted)


async def test_pages_hold_every_story_once() -> None:
    async with asking(clock=ManualClock()) as client:
        everything = [story["uuid"] for story in await all_stories(client)]
        paged: list[str] = []
        while True:
            page = await answer(client, STORIES, {**DAY, "limit": 7, "offset": len(paged)})
            paged += [story["uuid"] for story in page["stories"]]
            assert page["offset"] == len(paged)
            if len(page["stories"]) < 7:
                break
    assert paged == everything
    assert len(set(paged)) == len(paged)


def rank_of(story: dict[str, Any], sort_by: str) -> float:
    match sort_by:
        case "sentiment":
            return story["rolling_sentiment"][-1]
        case "coverage":
            return sum(story["sources"].values())
        case _:
            return story["updated_ts"]


@pytest.mark.parametrize("sort_by", ["published", "sentiment", "coverage"])
async def test_stories_are_sorted_as_asked(sort_by: str) -> None:
    async with asking(clock=ManualClock()) as client:
        falling = [rank_of(story, sort_by) for story in await all_stories(client, sort_by=sort_by)]
        rising = [rank_of(story, sort_by) for story in await all_stories(client, sort_by=sort_by, sort_type="asc")]
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert falling[0] != falling[-1]


async def test_categories_narrow_the_result() -> None:
    async with asking(clock=ManualClock()) as client:
        finance = await all_stories(client, categories="Finance", expand_updates="false")
        assert all("Finance" in story["categories"] for story in finance)
        assert 0 < len(finance) < len(await all_stories(client))


def test_no_story_outlives_the_bound_that_searches_rely_on() -> None:
    plots = list(Plots(load_content()).begun_between(1_780_000_000, 1_780_000_000 + 20 * PERIOD_SECONDS))
    assert len(plots) > 100
    assert all(plot.ends_at - plot.starts_at < LONGEST_LIFE_SECONDS for plot in plots)
    assert max(len(arc.stages) for arc in load_content().arcs) <= 5
