"""What is measured of the source: lateness, full pages, outages; credits of unknown fate, and what each job spends."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("cursors", sa.Column("settled_until", TIME, nullable=True))
    op.add_column("cursors", sa.Column("swept_at", TIME, nullable=True))
    op.add_column("credit_periods", sa.Column("uncertain", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "credit_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "job_name", name="pk_credit_days"),
    )
    op.create_table(
        "full_pages",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "asked", "fetched", name="pk_full_pages"),
    )
    op.create_table(
        "late_articles",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "minutes", name="pk_late_articles"),
    )
    op.create_table(
        "outages",
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("failed_runs", sa.Integer(), nullable=False),
        sa.Column("retry_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("job_name", name="pk_outages"),
    )


def downgrade() -> None:
    for table in ("outages", "late_articles", "full_pages", "credit_days"):
        op.drop_table(table)
    op.drop_column("credit_periods", "uncertain")
    op.drop_column("cursors", "swept_at")
    op.drop_column("cursors", "settled_until")
