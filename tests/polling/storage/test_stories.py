"""Stories keep their sentiment over time, and take what AskNews revises."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.database.upserts import UpsertCounts
from flows.polling.storage.entities import seed_entities
from flows.polling.storage.stories import store_stories
from flows.polling.storage.tables import RedditThread, Story, StoryEntity, StoryRedditSentiment, StorySentiment
from tests.polling.storage.rows import NOON, id_of, point, story, thread


@pytest.fixture(autouse=True)
async def entities(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await seed_entities(connection, [("Claude", "model"), ("Cursor", "tool")])


async def store(database: AsyncEngine, *rows: dict[str, Any], links: tuple[str, ...] = ()) -> UpsertCounts:
    async with database.begin() as connection:
        return await store_stories(connection, rows, {row["story_id"]: links for row in rows})


async def series(database: AsyncEngine) -> list[tuple[Any, ...]]:
    async with reading(database) as connection:
        rows = await connection.execute(
            select(StorySentiment.at, StorySentiment.sentiment, StorySentiment.rolling).order_by(StorySentiment.at)
        )
        return [tuple(row) for row in rows]


async def test_a_story_is_stored_with_both_its_series_and_its_threads(database: AsyncEngine) -> None:
    given = story(1, sentiment=[point(0, 0.0, 0.0), point(1, -0.5)])
    assert await store(database, given) == UpsertCounts(inserted=1)

    assert await series(database) == [(NOON, 0.0, 0.0), (NOON + timedelta(hours=1), -0.5, None)]
    async with reading(database) as connection:
        row = (await connection.execute(select(Story.__table__))).mappings().one()
        reddit = (await connection.execute(select(StoryRedditSentiment.__table__))).one()
        threads = (await connection.execute(select(RedditThread.__table__))).mappings().one()
    assert row["article_ids"] == [str(id_of(1)), str(id_of(2))]
    assert (row["headline"], row["countries"], row["updated_at"]) == ("Headline 1", {"US": 3}, NOON)
    assert tuple(reddit) == (id_of(1), NOON, 0.5)
    assert dict(threads) == {"story_id": id_of(1), **thread("t1")}


async def test_a_revised_point_counts_its_story_as_updated(database: AsyncEngine) -> None:
    await store(database, story(1, sentiment=[point(0, 0.1, 0.1), point(1, 0.2)]), story(2, sentiment=[]))

    counts = await store(database, story(1, sentiment=[point(0, 0.1, 0.0), point(1, 0.0)]), story(2, sentiment=[]))

    assert counts == UpsertCounts(updated=1, unchanged=1)
    assert await series(database) == [(NOON, 0.1, 0.0), (NOON + timedelta(hours=1), 0.0, None)]


async def test_what_a_later_answer_leaves_out_stays(database: AsyncEngine) -> None:
    whole = story(1, sentiment=[point(0, 0.1, 0.25), point(1, 0.2, 0.0)])
    await store(database, whole)
    left_out: dict[str, Any] = {"headline": "", "summary": "", "topics": [], "countries": {}, "article_count": 0}
    threads = [{**thread("t1"), "url": "", "upvotes": None, "sentiment": None}]

    counts = await store(
        database, story(1, **left_out, sentiment=[point(0, 0.1), point(1, 0.2)], reddit_threads=threads)
    )

    assert counts == UpsertCounts(unchanged=1)
    assert [rolling for _at, _sentiment, rolling in await series(database)] == [0.25, 0.0]


async def test_what_an_answer_brings_is_stored_beside_what_it_lacks(database: AsyncEngine) -> None:
    await store(database, story(1, sentiment=[point(0, 0.1, 0.25)]))

    counts = await store(database, story(1, headline="", topics=[], update_count=2, sentiment=[point(0, 0.0)]))

    assert counts == UpsertCounts(updated=1)
    assert await series(database) == [(NOON, 0.0, 0.25)]
    async with reading(database) as connection:
        row = (await connection.execute(select(Story.headline, Story.topics, Story.update_count))).one()
    assert tuple(row) == ("Headline 1", ["AI"], 2)


async def test_a_new_point_or_a_changed_thread_makes_a_story_updated(database: AsyncEngine) -> None:
    await store(database, *(story(n) for n in range(4)))

    counts = await store(
        database,
        story(0, sentiment=[point(0, 0.0), point(1, -0.25), point(2, 1.0)]),
        story(1, reddit_sentiment=[{"at": NOON, "sentiment": 0.25}]),
        story(2, reddit_threads=[thread("t1", upvotes=2)]),
        story(3),
    )

    assert counts == UpsertCounts(updated=3, unchanged=1)


async def test_an_identical_poll_changes_nothing(database: AsyncEngine) -> None:
    await store(database, story(1), links=("Claude",))
    assert await store(database, story(1), links=("Claude",)) == UpsertCounts(unchanged=1)


async def test_what_is_no_longer_sent_stays(database: AsyncEngine) -> None:
    await store(database, story(1), links=("Claude",))
    await store(database, story(1, sentiment=[], reddit_sentiment=[], reddit_threads=[]), links=("Cursor",))

    assert len(await series(database)) == 2
    async with reading(database) as connection:
        assert len((await connection.execute(select(RedditThread.thread_id))).all()) == 1
        assert len((await connection.execute(select(StoryEntity.entity_id))).all()) == 2


async def test_a_moment_twice_in_one_series_keeps_its_later_value(database: AsyncEngine) -> None:
    assert await store(database, story(1, sentiment=[point(0, 0.5), point(0, 0.75)])) == UpsertCounts(inserted=1)
    assert await series(database) == [(NOON, 0.75, None)]


async def test_a_story_twice_on_one_page_counts_once_as_new(database: AsyncEngine) -> None:
    counts = await store(database, story(1), story(1, headline="Later", sentiment=[point(5, 1.0)]))

    assert counts == UpsertCounts(inserted=1, unchanged=1)
    assert len(await series(database)) == 3


async def test_two_writers_of_the_same_stories_count_each_once(database: AsyncEngine) -> None:
    rows = [story(n, sentiment=[point(hour, 0.5) for hour in range(20)]) for n in range(20)]

    counts = await asyncio.gather(*(store(database, *rows[::order], links=("Claude",)) for order in (1, -1, 1, -1)))

    assert sum(each.inserted for each in counts) == 20
    assert sum(each.unchanged for each in counts) == 60
    assert len(await series(database)) == 400
