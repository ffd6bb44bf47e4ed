"""Articles and the entities that they mention."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import UpsertCounts, upsert
from flows.polling.storage.entities import write_links
from flows.polling.storage.tables import Article, ArticleEntity

# What AskNews may leave out in a later answer.
_OPTIONAL = (
    "url", "title", "english_title", "summary", "key_points", "crawled_at", "sentiment", "entities",
    "classification", "keywords", "language", "country", "source_name", "domain", "page_rank", "image_url",
    "provocative", "reporting_voice", "bias", "content_type",
)  # fmt: skip
# What an entity may be mentioned in.
_MATCHED = ("title", "english_title", "summary", "key_points", "keywords", "entities")


async def store_articles(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], links: Mapping[UUID, Collection[str]]
) -> UpsertCounts:
    """Store articles, each linked to the entities that `links` names for it.

    A row has a value for each column of `articles` (but our own two times); further values are left out. The counts add
    up to the rows: an article counts as updated if it or its links changed. What a later answer leaves out stays, and
    so do all links then, as they may come from it; otherwise those that `links` no longer names go.
    Raises LookupError for an unknown entity.
    """
    written = await upsert(connection, Article, rows, optional=_OPTIONAL)
    inserted = {key for (key,) in written.inserted}
    linked = links.keys() - inserted
    replaced = linked - await _left_something_out(connection, [row for row in rows if row["article_id"] in linked])
    relinked = await write_links(connection, ArticleEntity, links, linked=linked, replaced=replaced)
    updated = {key for (key,) in written.updated} | relinked
    return UpsertCounts.of(len(rows), inserted=inserted, touched=updated)


async def _left_something_out(connection: AsyncConnection, rows: Iterable[Mapping[str, Any]]) -> set[UUID]:
    """Return the articles of which more of what is matched is stored than `rows` hold."""
    empty = {row["article_id"]: [name for name in _MATCHED if not row[name]] for row in rows}
    sparse = [article_id for article_id, names in empty.items() if names]
    if not sparse:
        return set()
    columns = (Article.__table__.c[name] for name in ("article_id", *_MATCHED))
    stored = await connection.execute(select(*columns).where(Article.article_id.in_(sparse)))
    return {row["article_id"] for row in stored.mappings() if any(row[name] for name in empty[row["article_id"]])}


async def stored_ids(connection: AsyncConnection, start: datetime, end: datetime) -> set[UUID]:
    """Return the ids of the stored articles that were crawled from `start` to `end`, both included."""
    return set(await connection.scalars(select(Article.article_id).where(Article.crawled_at.between(start, end))))


async def crawl_times(connection: AsyncConnection, start: datetime, end: datetime) -> list[datetime]:
    """Return when the stored articles from `start` to `end`, both included, were crawled, in order."""
    rows = await connection.scalars(
        select(Article.crawled_at).where(Article.crawled_at.between(start, end)).order_by(Article.crawled_at)
    )
    return [at for at in rows if at is not None]
