"""The tables. What a column means for a reader of the log is told in `docs/execution-log.md`."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from flows.database.base import Base
from flows.database.types import Json, utc_now

# The conditions of the partial indexes. A query finds such an index only if it repeats the condition word for word,
# with its literals: that is why queries take them from here and not from bound parameters.
RAN = "status NOT IN ('skipped', 'cancelled', 'missed')"
SUCCEEDED = "status = 'success'"
OPEN = "status = 'running'"
UNSENT = "event_emitted_at IS NULL"


def _surrogate_key() -> Mapped[int]:
    # SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
    return mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


class TrackedEntity(Base):
    """A model or a tool that the pipeline follows."""

    __tablename__ = "tracked_entities"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    category: Mapped[str]


class Article(Base):
    """An article as AskNews tells it. `first_seen_at` and `changed_at` are the times of this row."""

    __tablename__ = "articles"
    __table_args__ = (Index(None, "published_at"), Index(None, "crawled_at"))

    article_id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    title: Mapped[str]
    english_title: Mapped[str | None]
    summary: Mapped[str]
    key_points: Mapped[list[str]]
    published_at: Mapped[datetime]
    crawled_at: Mapped[datetime | None]
    sentiment: Mapped[int]
    entities: Mapped[dict[str, list[str]]]
    classification: Mapped[list[str]]
    keywords: Mapped[list[str]]
    language: Mapped[str]
    country: Mapped[str]
    source_name: Mapped[str]
    domain: Mapped[str]
    page_rank: Mapped[int | None]
    image_url: Mapped[str | None]
    provocative: Mapped[str | None]
    reporting_voice: Mapped[str | None]
    bias: Mapped[str | None]
    content_type: Mapped[str | None]
    altered_fields: Mapped[list[str]]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    changed_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class ArticleEntity(Base):
    """The article mentions the entity."""

    __tablename__ = "article_entities"

    article_id: Mapped[UUID] = mapped_column(ForeignKey(Article.article_id, ondelete="CASCADE"), primary_key=True)
    entity_id: Mapped[int] = mapped_column(
        ForeignKey(TrackedEntity.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class Story(Base):
    """A story, which AskNews keeps up to date. `updated_at` is its time there, `changed_at` the time of this row."""

    __tablename__ = "stories"
    __table_args__ = (Index(None, "updated_at"),)

    story_id: Mapped[UUID] = mapped_column(primary_key=True)
    headline: Mapped[str]
    summary: Mapped[str]
    updated_at: Mapped[datetime]
    categories: Mapped[list[str]]
    keywords: Mapped[list[str]]
    people: Mapped[list[str]]
    topics: Mapped[list[str]]
    countries: Mapped[dict[str, int]]
    languages: Mapped[dict[str, int]]
    sources: Mapped[dict[str, int]]
    article_count: Mapped[int]
    update_count: Mapped[int]
    article_ids: Mapped[list[str]]
    altered_fields: Mapped[list[str]]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    changed_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class StoryEntity(Base):
    """The story mentions, or was found by, the entity."""

    __tablename__ = "story_entities"

    story_id: Mapped[UUID] = mapped_column(ForeignKey(Story.story_id, ondelete="CASCADE"), primary_key=True)
    entity_id: Mapped[int] = mapped_column(
        ForeignKey(TrackedEntity.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class StorySentiment(Base):
    """One point of a story's sentiment in the news; AskNews may revise it."""

    __tablename__ = "story_sentiment"

    story_id: Mapped[UUID] = mapped_column(ForeignKey(Story.story_id, ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    sentiment: Mapped[float]
    rolling: Mapped[float | None]


class StoryRedditSentiment(Base):
    """One point of a story's sentiment on Reddit; AskNews may revise it."""

    __tablename__ = "story_reddit_sentiment"

    story_id: Mapped[UUID] = mapped_column(ForeignKey(Story.story_id, ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    sentiment: Mapped[float]


class RedditThread(Base):
    """A Reddit thread about a story: where it is and its counts, no author and no text."""

    __tablename__ = "reddit_threads"

    story_id: Mapped[UUID] = mapped_column(ForeignKey(Story.story_id, ondelete="CASCADE"), primary_key=True)
    thread_id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    subreddit: Mapped[str]
    published_at: Mapped[datetime | None]
    upvotes: Mapped[int | None]
    comment_count: Mapped[int | None]
    sentiment: Mapped[float | None]


class RejectedRecord(Base):
    """A record from AskNews that could not be stored: kept once, counted each time that it comes again."""

    __tablename__ = "rejected_records"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    external_id: Mapped[str | None]
    reason: Mapped[str]
    raw: Mapped[str]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=utc_now(), index=True)
    seen_count: Mapped[int]


class Cursor(Base):
    """How far a job has read, on the whole (`scope` '') or for one entity, and the window that it has not finished."""

    __tablename__ = "cursors"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    watermark: Mapped[datetime | None]
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    next_offset: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class CreditPeriod(Base):
    """The AskNews credits that were spent or are reserved in a billing period."""

    __tablename__ = "credit_periods"

    period_start: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int]


class ExecutionLog(Base):
    """One row for each run of a job, and for each tick that had no run."""

    __tablename__ = "scheduler_execution_log"
    __table_args__ = (
        Index("ix_scheduler_execution_log_started_at", "started_at"),
        # `id` breaks ties, so that "the newest row" is one row and an index lookup.
        Index("ix_scheduler_execution_log_job_name_started_at", "job_name", "started_at", "id"),
        *(
            Index(
                f"ix_scheduler_execution_log_{name}",
                "job_name",
                "started_at",
                "id",
                postgresql_where=text(condition),
                sqlite_where=text(condition),
            )
            for name, condition in (("ran", RAN), ("succeeded", SUCCEEDED))
        ),
        Index("ix_scheduler_execution_log_open", "started_at", postgresql_where=text(OPEN), sqlite_where=text(OPEN)),
    )

    id: Mapped[int] = _surrogate_key()
    execution_id: Mapped[UUID] = mapped_column(unique=True)
    job_name: Mapped[str]
    status: Mapped[str]
    scheduled_for: Mapped[datetime | None]
    attempt: Mapped[int]
    started_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None]
    error_message: Mapped[str | None]
    # The declarative base has an attribute `metadata` of its own.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", Json)
    closed_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class MonitoredJob(Base):
    """A job that is expected to run, and the last verdict on it."""

    __tablename__ = "monitored_jobs"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[UUID | None]
    interval_seconds: Mapped[float]
    schedule: Mapped[list[dict[str, Any]]]
    since: Mapped[datetime]
    paused: Mapped[bool]
    retired_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    planned_runs: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=utc_now())
    status: Mapped[str]
    reason: Mapped[str | None]
    status_since: Mapped[datetime]
    last_notified_at: Mapped[datetime | None]
    bad_streak: Mapped[int]


class ScheduleHistory(Base):
    """The schedules that a job had from `valid_from` until its next row: what `verify` expects of the past."""

    __tablename__ = "schedule_history"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(primary_key=True)
    schedule: Mapped[list[dict[str, Any]]]
    paused: Mapped[bool]


class JobTransition(Base):
    """A change of a job's verdict; it stays an unsent notice until its event was emitted."""

    __tablename__ = "job_transitions"
    __table_args__ = (
        Index(None, "job_name", "at"),
        Index("ix_job_transitions_unsent", "id", postgresql_where=text(UNSENT), sqlite_where=text(UNSENT)),
    )

    id: Mapped[int] = _surrogate_key()
    job_name: Mapped[str]
    from_status: Mapped[str]
    to_status: Mapped[str]
    reason: Mapped[str | None]
    at: Mapped[datetime]
    noticed_at: Mapped[datetime]
    details: Mapped[dict[str, Any]]
    event_emitted_at: Mapped[datetime | None]


class ReconcilerWatermark(Base):
    """How far the log has been reconciled with the server. One row."""

    __tablename__ = "reconciler_watermark"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reconciled_until: Mapped[datetime]


class DeferredPage(Base):
    """A page that a poll could not fetch and stepped over; a later run asks for it again."""

    __tablename__ = "deferred_pages"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    window_end: Mapped[datetime] = mapped_column(primary_key=True)
    page_offset: Mapped[int] = mapped_column(primary_key=True)
    page_size: Mapped[int]
    reason: Mapped[str]
    attempts: Mapped[int]
    first_failed_at: Mapped[datetime] = mapped_column(server_default=utc_now())
