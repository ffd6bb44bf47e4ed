"""What a deployment's tags say is expected of the job, and its ticks after the last run that was known."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("monitored_jobs", sa.Column("expectations", _JSON, nullable=True))
    op.add_column("monitored_jobs", sa.Column("ticks", _JSON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("monitored_jobs") as table:
        for name in ("expectations", "ticks"):
            table.drop_column(name)
