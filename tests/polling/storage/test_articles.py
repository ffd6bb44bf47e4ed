"""Articles are stored once, changed only where they changed, and linked to all that they mention."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import reading
from flows.database.upserts import UpsertCounts
from flows.polling.storage.articles import store_articles
from flows.polling.storage.entities import seed_entities
from flows.polling.storage.tables import Article, ArticleEntity, TrackedEntity
from tests.polling.storage.rows import article, id_of

ENTITIES = [("Claude", "model"), ("Cursor", "tool"), ("GPT-4o", "model")]


@pytest.fixture(autouse=True)
async def entities(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await seed_entities(connection, ENTITIES)


async def links_of(connection: AsyncConnection) -> set[tuple[UUID, str]]:
    rows = await connection.execute(
        select(ArticleEntity.article_id, TrackedEntity.name).join(
            TrackedEntity, TrackedEntity.id == ArticleEntity.entity_id
        )
    )
    return {(row.article_id, row.name) for row in rows}


async def test_counts_say_what_became_of_each_article(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        first = await store_articles(connection, [article(n) for n in range(3)], {})
    async with database.begin() as connection:
        rows = [article(0), article(1, title="Revised"), article(2), article(3)]
        second = await store_articles(connection, rows, {})

    assert first == UpsertCounts(inserted=3)
    assert second == UpsertCounts(inserted=1, updated=1, unchanged=2)
    async with reading(database) as connection:
        titles = await connection.scalars(select(Article.title).order_by(Article.title))
        assert titles.all() == ["Revised", "Title 0", "Title 2", "Title 3"]


async def test_what_is_read_back_is_what_was_stored(database: AsyncEngine) -> None:
    given = article(
        1, keywords=["Größe", "日本語", 'quo"te'], entities={"Product": ["Claude"]}, altered_fields=("title",)
    )
    async with database.begin() as connection:
        await store_articles(connection, [given], {})

    async with reading(database) as connection:
        row = (await connection.execute(select(Article.__table__))).mappings().one()
    assert {name: row[name] for name in given} == {**given, "altered_fields": ["title"]}
    assert row["published_at"].tzinfo is not None
    assert row["first_seen_at"] == row["changed_at"] or row["first_seen_at"] < row["changed_at"]


async def test_an_unchanged_article_is_not_written(database: AsyncEngine) -> None:
    async def changed_at() -> object:
        async with reading(database) as connection:
            return await connection.scalar(select(Article.changed_at))

    async with database.begin() as connection:
        await store_articles(connection, [article(1)], {})
    before = await changed_at()
    async with database.begin() as connection:
        await store_articles(connection, [article(1)], {})
    assert await changed_at() == before

    async with database.begin() as connection:
        await asyncio.to_thread(lambda: None)
        await store_articles(connection, [article(1, page_rank=11)], {})
    assert await changed_at() != before


async def test_what_a_later_answer_leaves_out_stays(database: AsyncEngine) -> None:
    bare = article(1, url="", title="", summary="", key_points=[], entities={}, crawled_at=None)
    bare |= {"sentiment": None, "page_rank": None, "country": "Unknown"}
    async with database.begin() as connection:
        await store_articles(connection, [article(1)], {})
        assert await store_articles(connection, [bare], {}) == UpsertCounts(unchanged=1)
        assert await store_articles(connection, [{**bare, "language": "fr"}], {}) == UpsertCounts(updated=1)

    async with reading(database) as connection:
        row = (await connection.execute(select(Article.__table__))).mappings().one()
    assert {name: row[name] for name in bare} == {**article(1), "language": "fr", "altered_fields": []}


async def test_an_article_is_linked_to_every_entity_that_it_mentions(database: AsyncEngine) -> None:
    links = {id_of(1): ["Claude", "Cursor"], id_of(2): ["Claude"], id_of(3): []}
    async with database.begin() as connection:
        await store_articles(connection, [article(n) for n in (1, 2, 3)], links)

        assert await links_of(connection) == {
            (id_of(1), "Claude"),
            (id_of(1), "Cursor"),
            (id_of(2), "Claude"),
        }


async def test_a_revised_article_loses_links_its_text_no_longer_bears(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await store_articles(
            connection, [article(1), article(2)], {id_of(1): ["Claude", "Cursor"], id_of(2): ["Claude"]}
        )
    async with database.begin() as connection:
        counts = await store_articles(connection, [article(1)], {id_of(1): ["GPT-4o"]})

        assert counts == UpsertCounts(updated=1)
        assert await links_of(connection) == {(id_of(1), "GPT-4o"), (id_of(2), "Claude")}


@pytest.mark.parametrize("left_out", [{"summary": ""}, {"key_points": []}, {"entities": {}}])
async def test_an_answer_that_leaves_text_out_takes_no_link(database: AsyncEngine, left_out: dict[str, object]) -> None:
    async with database.begin() as connection:
        await store_articles(connection, [article(1)], {id_of(1): ["Claude"]})
        counts = await store_articles(connection, [article(1, **left_out)], {id_of(1): ["Cursor"]})

        assert counts == UpsertCounts(updated=1)
        assert await links_of(connection) == {(id_of(1), "Claude"), (id_of(1), "Cursor")}


async def test_an_article_twice_on_one_page_is_stored_once(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        counts = await store_articles(connection, [article(1), article(2), article(1, title="Later")], {})

        assert counts == UpsertCounts(inserted=2, unchanged=1)
        assert await connection.scalar(select(Article.title).where(Article.article_id == id_of(1))) == "Later"


async def test_nul_bytes_and_lone_surrogates_do_not_reach_the_driver(database: AsyncEngine) -> None:
    rows = [article(1, title="a\x00b\ud800c", keywords=["x\x00"], entities={"Pro\x00duct": ["\udfff"]})]
    async with database.begin() as connection:
        await store_articles(connection, rows, {})
        row = (await connection.execute(select(Article.title, Article.keywords, Article.entities))).one()
        again = await store_articles(connection, rows, {})

    assert tuple(row) == ("ab\ufffdc", ["x"], {"Product": ["\ufffd"]})
    assert again == UpsertCounts(unchanged=1)


async def test_a_page_larger_than_one_statement_is_stored_whole(database: AsyncEngine) -> None:
    rows = [article(n) for n in range(1_201)]
    async with database.begin() as connection:
        assert await store_articles(connection, rows, {}) == UpsertCounts(inserted=1_201)
    async with database.begin() as connection:
        assert await store_articles(connection, rows, {}) == UpsertCounts(unchanged=1_201)
        assert await connection.scalar(select(func.count()).select_from(Article)) == 1_201


async def test_an_empty_page_is_no_error(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        assert await store_articles(connection, [], {}) == UpsertCounts()


async def test_a_link_to_an_unknown_entity_says_what_to_do(database: AsyncEngine) -> None:
    with pytest.raises(LookupError, match=r"never seeded: Gemini\. Run `vibecheck apply`"):
        async with database.begin() as connection:
            await store_articles(connection, [article(1)], {id_of(1): ["Claude", "Gemini"]})

    async with reading(database) as connection:
        assert await connection.scalar(select(func.count()).select_from(Article)) == 0


async def test_two_writers_of_the_same_articles_count_each_once(database: AsyncEngine) -> None:
    rows = [article(n) for n in range(200)]

    async def write(order: int) -> UpsertCounts:
        async with database.begin() as connection:
            return await store_articles(connection, rows[::order], {row["article_id"]: ["Claude"] for row in rows})

    counts = await asyncio.gather(*(write(order) for order in (1, -1, 1, -1)))

    assert sum(each.inserted for each in counts) == 200
    assert sum(each.unchanged for each in counts) == 600
    async with reading(database) as connection:
        assert len(await links_of(connection)) == 200
