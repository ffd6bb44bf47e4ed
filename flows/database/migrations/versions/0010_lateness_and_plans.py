"""From when on the last window was read, which plan a full page belongs to, and articles of unknown sentiment."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

TIME = sa.DateTime(timezone=True)
ARTICLES = {"tables": ["articles"]}


def upgrade() -> None:
    op.add_column("cursors", sa.Column("read_from", TIME, nullable=True))
    _alter_sentiment(nullable=True)
    # What it holds is learnt again with the next pages.
    op.drop_table("full_pages")
    _create_full_pages(sa.Column("plan", sa.Text(), nullable=False))


def downgrade() -> None:
    op.drop_table("full_pages")
    _create_full_pages()
    # The release before knows no unknown sentiment.
    op.execute("UPDATE articles SET sentiment = 0 WHERE sentiment IS NULL", execution_options=ARTICLES)
    _alter_sentiment(nullable=False)
    op.drop_column("cursors", "read_from")


def _alter_sentiment(*, nullable: bool) -> None:
    if op.get_context().dialect.name != "sqlite":
        op.alter_column("articles", "sentiment", existing_type=sa.Integer(), nullable=nullable)
        return
    # SQLite cannot alter a column; and in place of the whole table, its links would be deleted with it.
    default = None if nullable else "0"
    op.add_column("articles", sa.Column("altered", sa.Integer(), nullable=nullable, server_default=default))
    op.execute("UPDATE articles SET altered = sentiment", execution_options=ARTICLES)
    op.drop_column("articles", "sentiment")
    op.execute("ALTER TABLE articles RENAME COLUMN altered TO sentiment", execution_options=ARTICLES)


def _create_full_pages(*plan: sa.Column[str]) -> None:
    op.create_table(
        "full_pages",
        *plan,
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint(
            *(column.name for column in plan), "endpoint", "asked", "fetched", name="pk_full_pages"
        ),
    )
