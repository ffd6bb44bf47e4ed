"""What the past changes of verdict tell. They are written by `flows.monitoring.verdicts.stored`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from flows.monitoring.paging import pages
from flows.monitoring.tables import JobTransition, MonitoredJob
from flows.monitoring.vocabulary import Verdict


@dataclass(frozen=True)
class Outage:
    """When a job turned unhealthy, and what was known at that moment."""

    began: datetime
    details: Mapping[str, Any]


async def last_outages(connection: AsyncConnection, job_names: Collection[str]) -> dict[str, Outage]:
    """Read each job's last change from something else to unhealthy, whatever its reason became meanwhile."""
    unhealthy = literal(Verdict.UNHEALTHY)
    change = aliased(JobTransition)
    newest = (
        select(change.id)
        .where(change.job_name == MonitoredJob.job_name, change.to_status == unhealthy, change.from_status != unhealthy)
        .order_by(change.at.desc(), change.id.desc())
        .limit(1)
        .correlate(MonitoredJob)
        .scalar_subquery()
    )
    of_each = select(MonitoredJob.job_name, JobTransition.at, JobTransition.details).join(
        JobTransition, JobTransition.id == newest
    )
    outages: dict[str, Outage] = {}
    for page in pages(sorted(job_names)):
        rows = await connection.execute(of_each.where(MonitoredJob.job_name.in_(page)))
        outages |= {row.job_name: Outage(row.at, row.details) for row in rows}
    return outages
