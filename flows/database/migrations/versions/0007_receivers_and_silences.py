"""Receivers that refuse, and silences."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "clock_timestamp()")
    op.create_table(
        "alarm_receivers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failing_since", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("last_delivered_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_alarm_receivers"),
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, server_default=now, nullable=False),
        sa.Column("until", TIME, nullable=True),
        sa.Column("lifted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
    )
    op.create_index("ix_silences_job_name", "silences", ["job_name"])


def downgrade() -> None:
    op.drop_table("silences")
    op.drop_table("alarm_receivers")
