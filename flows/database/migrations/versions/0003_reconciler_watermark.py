"""The reconciler's watermark gets a table of its own: it stood among the polls' cursors."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "reconciler_watermark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reconciled_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconciler_watermark"),
    )
    # The old row stays where it is: the release before may still run, and reads it there.
    op.execute(
        "INSERT INTO reconciler_watermark (id, reconciled_until) SELECT 1, watermark FROM cursors "
        "WHERE job_name = 'pipeline_status' AND scope = 'reconcile' AND watermark IS NOT NULL",
        execution_options={"tables": ["reconciler_watermark", "cursors"]},
    )


def downgrade() -> None:
    op.drop_table("reconciler_watermark")
