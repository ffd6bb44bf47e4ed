"""Articles and the entities that they mention."""

from collections.abc import Collection, Mapping, Sequence
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
    "classification", "keywords", "language", "source_name", "domain", "page_rank", "image_url", "provocative",
    "reporting_voice", "bias", "content_type",
)  # fmt: skip


async def store_articles(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], links: Mapping[UUID, Collection[str]]
) -> UpsertCounts:
    """Store articles, each linked to exactly the entities that `links` names for it.

    A row has a value for each column of `articles` (but our own two times); further values are left out. The counts add
    up to the rows: an article counts as updated if it or its links changed. What a later answer leaves out stays.
    Raises LookupError for an unknown entity.
    """
    written = await upsert(connection, Article, rows, optional=_OPTIONAL)
    inserted = {key for (key,) in written.inserted}
    relinked = await write_links(connection, ArticleEntity, links, linked=links.keys() - inserted, replace=True)
    updated = {key for (key,) in written.updated} | relinked
    return UpsertCounts.of(len(rows), inserted=inserted, touched=updated)


async def stored_ids(connection: AsyncConnection, start: datetime, end: datetime) -> set[UUID]:
    """Return the ids of the stored articles that were crawled from `start` to `end`, both included."""
    return set(await connection.scalars(select(Article.article_id).where(Article.crawled_at.between(start, end))))


async def crawl_times(connection: AsyncConnection, start: datetime, end: datetime) -> list[datetime]:
    """Return when the stored articles from `start` to `end`, both included, were crawled, in order."""
    rows = await connection.scalars(
        select(Article.crawled_at).where(Article.crawled_at.between(start, end)).order_by(Article.crawled_at)
    )
    return [at for at in rows if at is not None]
