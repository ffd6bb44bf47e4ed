"""What the past changes of verdict tell. They are written by `flows.monitoring.verdicts.stored`."""

from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.monitoring.tables import JobTransition
from flows.monitoring.vocabulary import Verdict

_TRANSITIONS = table_of(JobTransition)


async def outage_began(connection: AsyncConnection, job_name: str) -> datetime | None:
    """When the job last turned from something else to unhealthy, whatever its reason became meanwhile."""
    unhealthy = literal(Verdict.UNHEALTHY)
    statement = (
        select(_TRANSITIONS.c.at)
        .where(
            _TRANSITIONS.c.job_name == job_name,
            _TRANSITIONS.c.to_status == unhealthy,
            _TRANSITIONS.c.from_status != unhealthy,
        )
        .order_by(_TRANSITIONS.c.at.desc(), _TRANSITIONS.c.id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).scalar_one_or_none()
