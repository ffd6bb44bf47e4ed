"""The bulk upsert itself: whatever is given, the table holds the last version of each key, and the counts say how."""

import asyncio
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.database.engine import reading
from flows.database.upserts import Upserted, upsert
from flows.polling.storage.entities import entity_ids, seed_entities
from flows.polling.storage.tables import Article, RedditThread, Story
from tests.polling.storage.rows import article, id_of, story, thread

# A field that may be nothing, a text that may hold anything, and JSON: what a comparison can get wrong.
changes = st.fixed_dictionaries(
    {
        "page_rank": st.none() | st.integers(0, 1),
        "title": st.sampled_from(["", "a", "A", "a ", "ä", "a\x00"]),
        "key_points": st.lists(st.sampled_from(["", "x"]), max_size=2),
    }
)


@st.composite
def articles(draw: st.DrawFn) -> dict[str, Any]:
    """One of a few articles, in one of many versions."""
    return article(draw(st.integers(0, 6)), **draw(changes))


def normal(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return (row["page_rank"], row["title"].replace("\x00", ""), list(row["key_points"]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(articles(), max_size=6), max_size=4))
async def test_a_batch_leaves_each_keys_last_version_and_says_so(
    database: AsyncEngine, batches: list[list[dict[str, Any]]]
) -> None:
    async with database.begin() as connection:
        await connection.execute(delete(Article))
    model: dict[Any, tuple[Any, ...]] = {}
    for batch in batches:
        given_rows = {row["article_id"]: normal(row) for row in batch}
        async with database.begin() as connection:
            written = await upsert(connection, Article, batch)
        assert written == Upserted(
            inserted=frozenset((key,) for key in given_rows if key not in model),
            updated=frozenset((key,) for key, row in given_rows.items() if key in model and model[key] != row),
        )
        model |= given_rows
    async with reading(database) as connection:
        stored = await connection.execute(
            select(Article.article_id, Article.page_rank, Article.title, Article.key_points)
        )
        assert {row["article_id"]: normal(row) for row in stored.mappings()} == model


async def test_two_writers_in_opposite_order_do_not_deadlock(database: AsyncEngine) -> None:
    rows = [article(number) for number in range(1_500)]

    async def write(order: int) -> Upserted:
        async with database.begin() as connection:
            return await upsert(connection, Article, rows[::order])

    results = await asyncio.gather(*(write(order) for order in (1, -1, 1)))

    assert sorted(len(each.inserted) for each in results) == [0, 0, 1_500]
    assert not any(each.updated for each in results)


async def test_a_row_that_another_writer_inserted_counts_as_theirs(database: AsyncEngine) -> None:
    mine = asyncio.Event()

    async def other() -> Upserted:
        await mine.wait()
        async with database.begin() as connection:
            return await upsert(connection, Article, [article(1), article(2, title="Newer"), article(3)])

    waiting = asyncio.create_task(other())
    async with database.begin() as connection:
        assert len((await upsert(connection, Article, [article(1), article(2)])).inserted) == 2
        mine.set()
        await asyncio.to_thread(lambda: None)

    assert await waiting == Upserted(inserted=frozenset({(id_of(3),)}), updated=frozenset({(id_of(2),)}))


async def test_keys_that_are_one_key_for_the_database_are_one_row(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await upsert(connection, Story, [story(1)])
        threads = [{**thread("t"), "story_id": id_of(1)}, {**thread("t\x00", upvotes=9), "story_id": id_of(1)}]
        await upsert(connection, RedditThread, threads)
        assert (await connection.scalars(select(RedditThread.upvotes))).all() == [9]


async def test_what_the_table_does_not_know_is_left_out(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await upsert(connection, Article, [article(1, full_text="much", first_seen_at="never")])
        assert await connection.scalar(select(Article.title)) == "Title 1"


async def test_seeding_twice_corrects_categories_and_keeps_ids(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        first = await seed_entities(connection, [("Claude", "model"), ("Cursor", "model")])
        second = await seed_entities(connection, [("Cursor", "tool"), ("v0", "tool")])
        assert second.items() >= first.items()
        assert second.keys() == {"Claude", "Cursor", "v0"}
        assert await entity_ids(connection) == second


async def test_two_who_seed_at_once_seed_the_same(database: AsyncEngine) -> None:
    pairs = [(f"Entity {number}", "tool") for number in range(10)]

    async def seed(order: int) -> dict[str, int]:
        async with database.begin() as connection:
            return await seed_entities(connection, pairs[::order])

    first, *others = await asyncio.gather(*(seed(order) for order in (1, -1, 1)))
    assert others == [first, first]


async def test_rows_written_without_us_are_seen(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(table_of(Article)).values(article(1)))
        assert await upsert(connection, Article, [article(1)]) == Upserted(frozenset(), frozenset())
