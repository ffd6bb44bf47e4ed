"""The deployment that a job was before it was deleted and made again: its runs are the job's as well."""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column(
        "monitored_jobs",
        sa.Column("earlier_deployment_id", sa.Uuid().with_variant(sa.String(36), "sqlite"), nullable=True),
    )


def downgrade() -> None:
    with op.batch_alter_table("monitored_jobs") as table:
        table.drop_column("earlier_deployment_id")
