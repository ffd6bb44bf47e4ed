"""The schedules that a deployment has lost while it kept others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("monitored_jobs", sa.Column("lost_schedules", json, nullable=True))


def downgrade() -> None:
    op.drop_column("monitored_jobs", "lost_schedules")
