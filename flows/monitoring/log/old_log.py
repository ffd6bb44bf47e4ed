"""Reads the execution log of the APScheduler service that this pipeline replaces, from wherever that kept it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import column, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

# Its columns are read as the driver gives them: on SQLite times and JSON are text, on PostgreSQL times may be naive.
_OLD_LOG = table(
    "scheduler_execution_log",
    *map(
        column,
        (
            *("id", "execution_id", "job_name", "status", "started_at", "completed_at"),
            *("duration_seconds", "error_message", "metadata", "created_at"),
        ),
    ),
)


@dataclass(frozen=True)
class OldRow:
    """A row of the old log. An `execution_id` that was not a UUID has been given one, always the same.

    `started_at` is None if nothing that can be read says when it started or was written.
    """

    id: int
    execution_id: UUID
    job_name: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    error_message: str | None
    details: dict[str, Any]


async def read_old_rows(connection: AsyncConnection, *, after_id: int, limit: int) -> list[OldRow]:
    """Read at most `limit` rows with an id above `after_id`, in order of id. Times without a zone are taken as UTC.

    Raises sqlalchemy.exc.DBAPIError when the table is not there or has not its ten columns.
    """
    statement = select(_OLD_LOG).where(_OLD_LOG.c.id > after_id).order_by(_OLD_LOG.c.id).limit(limit)
    rows = await connection.execute(statement)
    return [_old_row(row) for row in rows.mappings()]


def _old_row(row: Mapping[Any, Any]) -> OldRow:
    return OldRow(
        id=row["id"],
        execution_id=_uuid(row["execution_id"]),
        job_name=row["job_name"],
        status=str(row["status"]).lower(),
        started_at=_moment(row["started_at"]) or _moment(row["created_at"]),
        completed_at=_moment(row["completed_at"]),
        duration_seconds=None if row["duration_seconds"] is None else float(row["duration_seconds"]),
        error_message=row["error_message"],
        details=_details(row["metadata"]),
    )


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        return uuid5(NAMESPACE_URL, f"scheduler_execution_log/{value}")


def _details(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {"text": value}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return {} if value is None else {"value": value}
