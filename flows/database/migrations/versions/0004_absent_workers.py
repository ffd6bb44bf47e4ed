"""What the status flow has found out by asking Prefect, for all who judge: the jobs that no worker would execute."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("monitored_jobs", sa.Column("absent_work_pool", sa.Text(), nullable=True))
    op.add_column("monitored_jobs", sa.Column("worker_absent_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("monitored_jobs", sa.Column("absence_noted_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("monitored_jobs") as table:
        for name in ("absent_work_pool", "worker_absent_since", "absence_noted_at"):
            table.drop_column(name)
