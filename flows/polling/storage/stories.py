"""Stories, their sentiment over time, their Reddit threads and the entities that they mention."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import UpsertCounts, upsert
from flows.polling.storage.entities import write_links
from flows.polling.storage.tables import RedditThread, Story, StoryEntity, StoryRedditSentiment, StorySentiment

# The parts of a story's row that have tables of their own, with what AskNews may leave out in a later answer.
_PARTS = {
    "sentiment": (StorySentiment, ("rolling",)),
    "reddit_sentiment": (StoryRedditSentiment, ()),
    "reddit_threads": (
        RedditThread,
        ("url", "subreddit", "published_at", "upvotes", "comment_count", "sentiment"),
    ),
}
_OPTIONAL = (
    "headline", "summary", "categories", "keywords", "people", "topics", "countries", "languages", "sources",
    "article_count", "update_count", "article_ids",
)  # fmt: skip


async def store_stories(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], links: Mapping[UUID, Collection[str]]
) -> UpsertCounts:
    """Store stories with their points and threads; link them to the entities that `links` names.

    A row has a value for each column of `stories` (but our own two times), and its points and threads as mappings under
    `sentiment`, `reddit_sentiment` and `reddit_threads`. A point that AskNews revised is updated. What is no longer
    sent stays: points and threads of old updates, single values, and links, since a story goes on mentioning what its
    earlier updates mentioned. The counts add up to the rows: a story counts as updated if it or anything of it changed.
    Raises LookupError for an unknown entity.
    """
    written = await upsert(connection, Story, rows, optional=_OPTIONAL)
    touched = {key for (key,) in written.updated}
    for name, (model, optional) in _PARTS.items():
        parts = [{**part, "story_id": row["story_id"]} for row in rows for part in row[name]]
        changed = await upsert(connection, model, parts, optional=optional)
        touched |= {key[0] for key in changed.inserted | changed.updated}
    inserted = {key for (key,) in written.inserted}
    touched |= await write_links(connection, StoryEntity, links, linked=links.keys() - inserted)
    return UpsertCounts.of(len(rows), inserted=inserted, touched=touched)
