"""What each receiver of alarms was told of and has not heard the end of."""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "clock_timestamp()")
    op.create_table(
        "open_incidents",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("opened_at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("receiver", "incident", name="pk_open_incidents"),
    )


def downgrade() -> None:
    op.drop_table("open_incidents")
