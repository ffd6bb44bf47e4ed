"""Rows for the tests, as the pipeline's callers give them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.monitoring.log.rows import LogRow
from flows.monitoring.tables import MonitoredJob

NOON = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
_NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def id_of(number: int) -> UUID:
    """The same UUID for the same number."""
    return uuid5(_NAMESPACE, str(number))


def article(number: int, **changes: Any) -> dict[str, Any]:
    """An article with every field, as `Article.model_dump()` gives it."""
    return {
        "article_id": id_of(number),
        "url": f"https://news.example/{number}",
        "title": f"Title {number}",
        "english_title": None,
        "summary": "A summary.",
        "key_points": ["One", "Two"],
        "published_at": NOON - timedelta(minutes=number),
        "crawled_at": NOON,
        "sentiment": 0,
        "entities": {"Product": ["Claude"], "Person": []},
        "classification": ["Technology"],
        "keywords": [],
        "language": "en",
        "country": "US",
        "source_name": "Example",
        "domain": "news.example",
        "page_rank": 10,
        "image_url": None,
        "provocative": "unknown",
        "reporting_voice": None,
        "bias": "None",
        "content_type": None,
        "altered_fields": (),
        **changes,
    }


def story(number: int, **changes: Any) -> dict[str, Any]:
    """A story with every field, as `Story.model_dump()` gives it."""
    return {
        "story_id": id_of(number),
        "headline": f"Headline {number}",
        "summary": "A summary.",
        "updated_at": NOON,
        "categories": ["Technology"],
        "keywords": ["models"],
        "people": [],
        "topics": ["AI"],
        "countries": {"US": 3},
        "languages": {"en": 3},
        "sources": {"Example": 3},
        "article_count": 3,
        "update_count": 1,
        "updates": ["not stored"],
        "sentiment": [point(0, 0.0), point(1, -0.25)],
        "reddit_sentiment": [{"at": NOON, "sentiment": 0.5}],
        "reddit_threads": [thread("t1")],
        "article_ids": [id_of(1), id_of(2)],
        "altered_fields": (),
        **changes,
    }


def point(hour: int, sentiment: float, rolling: float | None = None) -> dict[str, Any]:
    """A point of a story's sentiment, `hour` hours after noon."""
    return {"at": NOON + timedelta(hours=hour), "sentiment": sentiment, "rolling": rolling}


def thread(thread_id: str, upvotes: int = 1) -> dict[str, Any]:
    """A Reddit thread."""
    return {
        "thread_id": thread_id,
        "url": f"https://reddit.example/{thread_id}",
        "subreddit": "LocalLLaMA",
        "published_at": None,
        "upvotes": upvotes,
        "comment_count": 0,
        "sentiment": 0.0,
    }


def row(job_name: str = "news", minute: float = 0, status: str = "success", **changes: Any) -> LogRow:
    """A closed row, or an open one with the status `running`."""
    started_at = NOON + timedelta(minutes=minute)
    closed = status != "running"
    values: dict[str, Any] = {
        "execution_id": uuid4(),
        "job_name": job_name,
        "status": status,
        "scheduled_for": started_at,
        "attempt": 1,
        "started_at": started_at,
        "completed_at": started_at + timedelta(seconds=5) if closed else None,
        "duration_seconds": 5.0 if closed else None,
        "error_message": None,
        "details": {"fetched": 3},
        "closed_by": "flow" if closed else None,
        **changes,
    }
    return LogRow(**values)


async def expect(connection: AsyncConnection, *job_names: str) -> None:
    """Make the jobs monitored."""
    for name in job_names:
        await connection.execute(
            insert(MonitoredJob).values(
                job_name=name,
                interval_seconds=900,
                schedule=[],
                since=NOON,
                paused=False,
                planned_runs=3,
                status="healthy",
                status_since=NOON,
                bad_streak=0,
            )
        )
