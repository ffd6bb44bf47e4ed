"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

# Plain types, spelled out here: a migration must not change when the models do.
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
IDENTIFIER = sa.Uuid().with_variant(sa.String(36), "sqlite")
BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """The options that make an index partial, on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "clock_timestamp()")
    op.create_table(
        "articles",
        sa.Column("article_id", IDENTIFIER, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("english_title", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("key_points", JSON, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("crawled_at", TIME, nullable=True),
        sa.Column("sentiment", sa.Integer(), nullable=False),
        sa.Column("entities", JSON, nullable=False),
        sa.Column("classification", JSON, nullable=False),
        sa.Column("keywords", JSON, nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("page_rank", sa.Integer(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("provocative", sa.Text(), nullable=True),
        sa.Column("reporting_voice", sa.Text(), nullable=True),
        sa.Column("bias", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("altered_fields", JSON, nullable=False),
        sa.Column("first_seen_at", TIME, server_default=now, nullable=False),
        sa.Column("changed_at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("article_id", name="pk_articles"),
    )
    op.create_index("ix_articles_crawled_at", "articles", ["crawled_at"])
    op.create_index("ix_articles_published_at", "articles", ["published_at"])

    op.create_table(
        "credit_periods",
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("period_start", name="pk_credit_periods"),
    )
    op.create_table(
        "cursors",
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("watermark", TIME, nullable=True),
        sa.Column("window_start", TIME, nullable=True),
        sa.Column("window_end", TIME, nullable=True),
        sa.Column("next_offset", sa.Text(), nullable=True),
        sa.Column("updated_at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("job_name", "scope", name="pk_cursors"),
    )
    op.create_table(
        "job_transitions",
        sa.Column("id", BIG_INTEGER, sa.Identity(always=False), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("noticed_at", TIME, nullable=False),
        sa.Column("details", JSON, nullable=False),
        sa.Column("event_emitted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_job_transitions"),
    )
    op.create_index("ix_job_transitions_job_name_at", "job_transitions", ["job_name", "at"])
    op.create_index("ix_job_transitions_unsent", "job_transitions", ["id"], **_where("event_emitted_at IS NULL"))

    op.create_table(
        "monitored_jobs",
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("deployment_id", IDENTIFIER, nullable=True),
        sa.Column("interval_seconds", sa.Float(), nullable=False),
        sa.Column("schedule", JSON, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("retired_at", TIME, nullable=True),
        sa.Column("next_run_at", TIME, nullable=True),
        sa.Column("planned_runs", sa.Integer(), nullable=False),
        sa.Column("updated_at", TIME, server_default=now, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("status_since", TIME, nullable=False),
        sa.Column("last_notified_at", TIME, nullable=True),
        sa.Column("bad_streak", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_name", name="pk_monitored_jobs"),
    )
    op.create_table(
        "rejected_records",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("first_seen_at", TIME, server_default=now, nullable=False),
        sa.Column("last_seen_at", TIME, server_default=now, nullable=False),
        sa.Column("seen_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_rejected_records"),
    )
    op.create_index("ix_rejected_records_last_seen_at", "rejected_records", ["last_seen_at"])

    op.create_table(
        "schedule_history",
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("valid_from", TIME, nullable=False),
        sa.Column("schedule", JSON, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("job_name", "valid_from", name="pk_schedule_history"),
    )
    op.create_table(
        "scheduler_execution_log",
        sa.Column("id", BIG_INTEGER, sa.Identity(always=False), nullable=False),
        sa.Column("execution_id", IDENTIFIER, nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("scheduled_for", TIME, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("completed_at", TIME, nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scheduler_execution_log"),
        sa.UniqueConstraint("execution_id", name="uq_scheduler_execution_log_execution_id"),
    )
    op.create_index(
        "ix_scheduler_execution_log_job_name_started_at", "scheduler_execution_log", ["job_name", "started_at", "id"]
    )
    op.create_index(
        "ix_scheduler_execution_log_open", "scheduler_execution_log", ["started_at"], **_where("status = 'running'")
    )
    op.create_index(
        "ix_scheduler_execution_log_ran",
        "scheduler_execution_log",
        ["job_name", "started_at", "id"],
        **_where("status NOT IN ('skipped', 'cancelled', 'missed')"),
    )
    op.create_index("ix_scheduler_execution_log_started_at", "scheduler_execution_log", ["started_at"])
    op.create_index(
        "ix_scheduler_execution_log_succeeded",
        "scheduler_execution_log",
        ["job_name", "started_at", "id"],
        **_where("status = 'success'"),
    )

    op.create_table(
        "stories",
        sa.Column("story_id", IDENTIFIER, nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("categories", JSON, nullable=False),
        sa.Column("keywords", JSON, nullable=False),
        sa.Column("people", JSON, nullable=False),
        sa.Column("topics", JSON, nullable=False),
        sa.Column("countries", JSON, nullable=False),
        sa.Column("languages", JSON, nullable=False),
        sa.Column("sources", JSON, nullable=False),
        sa.Column("article_count", sa.Integer(), nullable=False),
        sa.Column("update_count", sa.Integer(), nullable=False),
        sa.Column("article_ids", JSON, nullable=False),
        sa.Column("altered_fields", JSON, nullable=False),
        sa.Column("first_seen_at", TIME, server_default=now, nullable=False),
        sa.Column("changed_at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("story_id", name="pk_stories"),
    )
    op.create_index("ix_stories_updated_at", "stories", ["updated_at"])

    op.create_table(
        "tracked_entities",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracked_entities"),
        sa.UniqueConstraint("name", name="uq_tracked_entities_name"),
    )
    op.create_table(
        "article_entities",
        sa.Column("article_id", IDENTIFIER, nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.article_id"], name="fk_article_entities_article_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["tracked_entities.id"], name="fk_article_entities_entity_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "entity_id", name="pk_article_entities"),
    )
    op.create_index("ix_article_entities_entity_id", "article_entities", ["entity_id"])

    op.create_table(
        "reddit_threads",
        sa.Column("story_id", IDENTIFIER, nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("subreddit", sa.Text(), nullable=False),
        sa.Column("published_at", TIME, nullable=True),
        sa.Column("upvotes", sa.Integer(), nullable=True),
        sa.Column("comment_count", sa.Integer(), nullable=True),
        sa.Column("sentiment", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["story_id"], ["stories.story_id"], name="fk_reddit_threads_story_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story_id", "thread_id", name="pk_reddit_threads"),
    )
    op.create_table(
        "story_entities",
        sa.Column("story_id", IDENTIFIER, nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["tracked_entities.id"], name="fk_story_entities_entity_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["story_id"], ["stories.story_id"], name="fk_story_entities_story_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story_id", "entity_id", name="pk_story_entities"),
    )
    op.create_index("ix_story_entities_entity_id", "story_entities", ["entity_id"])

    op.create_table(
        "story_reddit_sentiment",
        sa.Column("story_id", IDENTIFIER, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("sentiment", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["story_id"], ["stories.story_id"], name="fk_story_reddit_sentiment_story_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story_id", "at", name="pk_story_reddit_sentiment"),
    )
    op.create_table(
        "story_sentiment",
        sa.Column("story_id", IDENTIFIER, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("sentiment", sa.Float(), nullable=False),
        sa.Column("rolling", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["story_id"], ["stories.story_id"], name="fk_story_sentiment_story_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("story_id", "at", name="pk_story_sentiment"),
    )


def downgrade() -> None:
    for table in (
        "story_sentiment",
        "story_reddit_sentiment",
        "story_entities",
        "reddit_threads",
        "article_entities",
        "tracked_entities",
        "stories",
        "scheduler_execution_log",
        "schedule_history",
        "rejected_records",
        "monitored_jobs",
        "job_transitions",
        "cursors",
        "credit_periods",
        "articles",
    ):
        op.drop_table(table)
