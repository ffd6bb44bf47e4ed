"""The pipeline's own tables: what was polled, how far, and what it cost."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Identity, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from flows.database.base import Base
from flows.database.types import utc_now
from flows.database.upserts import EMPTY


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
    sentiment: Mapped[int | None]
    entities: Mapped[dict[str, list[str]]]
    classification: Mapped[list[str]]
    keywords: Mapped[list[str]]
    language: Mapped[str]
    # AskNews' word for one that it does not know.
    country: Mapped[str] = mapped_column(info={EMPTY: "Unknown"})
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
    """The story mentions the entity."""

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
    """How far a job has read, on the whole (`scope` '') or for one entity, and the window that it has not finished.

    Everything before `settled_until` was read once more when it had settled; `swept_at` is the time of the last sweep.
    The last window began at `read_from`, None if it was not read whole.
    """

    __tablename__ = "cursors"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    watermark: Mapped[datetime | None]
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    next_offset: Mapped[str | None]
    settled_until: Mapped[datetime | None]
    swept_at: Mapped[datetime | None]
    read_from: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=utc_now())


class CreditPeriod(Base):
    """The AskNews credits that were spent or are reserved in a billing period; `uncertain`: perhaps spent."""

    __tablename__ = "credit_periods"

    period_start: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int]
    uncertain: Mapped[int] = mapped_column(server_default="0")


class CreditDay(Base):
    """The AskNews credits that a job spent on one day (UTC)."""

    __tablename__ = "credit_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    job_name: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[int]


class FullPage(Base):
    """A length of page that others followed, where `asked` rows were asked for: it may be the `plan`'s cap.

    With ", longest" behind the endpoint: the length of the longest page, whether it was followed or not.
    """

    __tablename__ = "full_pages"

    plan: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    asked: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fetched: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seen_at: Mapped[datetime]


class LateArticles(Base):
    """How many articles, found on one day (UTC), AskNews had indexed at least so many minutes after their crawl."""

    __tablename__ = "late_articles"

    day: Mapped[date] = mapped_column(primary_key=True)
    minutes: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    found: Mapped[int]


class SourceOutage(Base):
    """How many of a job's runs have failed in a row, and when AskNews wants to be asked again."""

    __tablename__ = "outages"

    job_name: Mapped[str] = mapped_column(primary_key=True)
    failed_runs: Mapped[int]
    retry_at: Mapped[datetime | None]


class DeferredPage(Base):
    """A stretch of time that a poll could not read whole; a later run reads it again.

    `page_offset` and `page_size` are those of the release before, which deferred pages and not time: it reads a stretch
    that this release notes as one page at 0 that is longer than any window.
    """

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
