"""A database may hold a part of the tables: those of the monitoring alone. Its migrations are the same, but filtered.

The part's revision is noted in a table of its own, so that a project may keep the part in a database in which its own
Alembic has its `alembic_version`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import ExecuteSQLOp
from alembic.runtime.migration import MigrationContext

WHOLE_VERSION = "alembic_version"
MONITORING_VERSION = "vibecheck_monitoring_version"
# Spelled out here: a migration must not change when the models do.
MONITORING_TABLES = frozenset(
    {
        "alarm_receivers",
        "job_transitions",
        "monitored_jobs",
        "open_incidents",
        "reconciler_watermark",
        "schedule_history",
        "scheduler_execution_log",
        "silences",
    }
)


@dataclass(frozen=True)
class Part:
    """Which tables a run of migrations makes and changes, and the table in which it notes its revision."""

    version_table: str
    has_monitoring: bool
    has_rest: bool

    def holds(self, table: str) -> bool:
        """Return whether `table` belongs to the part."""
        return self.has_monitoring if table in MONITORING_TABLES else self.has_rest


WHOLE = Part(WHOLE_VERSION, has_monitoring=True, has_rest=True)
MONITORING = Part(MONITORING_VERSION, has_monitoring=True, has_rest=False)
REST = Part(WHOLE_VERSION, has_monitoring=False, has_rest=True)


@contextmanager
def migrating(context: MigrationContext, part: Part) -> Generator[None]:
    """Let what migrations do concern the tables of `part` alone."""

    with Operations.context(context) as operations:
        invoke_any = operations.invoke

        def invoke(operation: MigrateOperation) -> Any:
            return invoke_any(operation) if all(map(part.holds, _tables_of(operation))) else None

        # `op` in a migration stands for this instance: Alembic has no other way to replace what it does.
        operations.invoke = invoke
        yield


def _tables_of(operation: MigrateOperation) -> list[str]:
    """The tables that an operation changes. A statement names those that it needs in its options, as `tables`."""
    if isinstance(operation, ExecuteSQLOp):
        return (operation.execution_options or {})["tables"]
    # A foreign key has a source, everything else a table.
    return [getattr(operation, "table_name", None) or getattr(operation, "source_table")]  # noqa: B009  # by its kind
