"""Articles and the entities that they mention."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import UpsertCounts, upsert
from flows.polling.storage.entities import write_links
from flows.polling.storage.tables import Article, ArticleEntity

# What AskNews may leave out in a later answer.
_OPTIONAL = (
    "url", "title", "english_title", "summary", "key_points", "crawled_at", "entities", "classification", "keywords",
    "language", "source_name", "domain", "page_rank", "image_url", "provocative", "reporting_voice", "bias",
    "content_type",
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
    relinked = await write_links(connection, ArticleEntity, links, replace=True)
    updated = {key for (key,) in written.updated} | relinked
    return UpsertCounts.of(len(rows), inserted={key for (key,) in written.inserted}, touched=updated)
