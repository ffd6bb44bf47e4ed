"""What the past changes of verdict tell. They are written by `flows.monitoring.verdicts.stored`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.monitoring.tables import JobTransition
from flows.monitoring.vocabulary import Verdict

_TRANSITIONS = table_of(JobTransition)


@dataclass(frozen=True)
class Outage:
    """When a job turned unhealthy, and what was known at that moment."""

    began: datetime
    details: Mapping[str, Any]


async def last_outage(connection: AsyncConnection, job_name: str) -> Outage | None:
    """The job's last change from something else to unhealthy, whatever its reason became meanwhile."""
    unhealthy = literal(Verdict.UNHEALTHY)
    statement = (
        select(_TRANSITIONS.c.at, _TRANSITIONS.c.details)
        .where(
            _TRANSITIONS.c.job_name == job_name,
            _TRANSITIONS.c.to_status == unhealthy,
            _TRANSITIONS.c.from_status != unhealthy,
        )
        .order_by(_TRANSITIONS.c.at.desc(), _TRANSITIONS.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Outage(row.at, row.details)
