"""Many jobs, in the database and on a made-up server, and what is asked of both."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.registry import write_jobs
from flows.monitoring.log.rows import LogRow, insert_rows
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran
from tests.support.fake_prefect import FakePrefect

QUARTER = timedelta(minutes=15)


@dataclass
class Asked:
    """The statements that a database was given."""

    statements: list[str] = field(default_factory=list[str])


@contextmanager
def counting(engine: AsyncEngine) -> Generator[Asked]:
    """What is asked of the database meanwhile."""
    asked = Asked()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def many(engine: AsyncEngine, count: int, prefect: FakePrefect | None = None) -> datetime:
    """The status flow and so many jobs less one, each with five runs; on the server as well. Return the time.

    Of every ten, one fails, one is late, one brings nothing new and one has never run.
    """
    now = await clock(engine)
    names = ["pipeline_status", *(f"team/report_{number:04}" for number in range(1, count))]
    jobs = [expected(name, now) for name in names]
    rows = [row for number, name in enumerate(names) for row in _rows(number, name, now)]
    async with engine.begin() as connection:
        await write_jobs(connection, jobs)
        await insert_rows(connection, rows)
    if prefect is not None:
        prefect.now = now
        for job in jobs:
            flow, _, deployment = job.job_name.partition("/")
            prefect.deploy(flow, id=str(job.deployment_id), name=deployment or "scheduled", tags=["monitored"])
            prefect.runs |= {_planned(prefect, flow, job.deployment_id, now): prefect.runs.popitem()[1]}
    return now


def _rows(number: int, name: str, now: datetime) -> Iterator[LogRow]:
    match number % 10:
        case 1:
            details, status, since = {}, "failure", now - MINUTE
        case 2:
            details, status, since = {}, "success", now - 120 * MINUTE
        case 3:
            details, status, since = {"inserted": 0, "updated": 0}, "success", now - MINUTE
        case 4:
            return
        case _:
            details, status, since = {"inserted": 2, "updated": 0}, "success", now - MINUTE
    for age in range(5):
        yield ran(name, since - age * QUARTER, status, details=details)


def _planned(prefect: FakePrefect, flow: str, deployment_id: UUID | None, now: datetime) -> str:
    run = str(prefect.run(flow, now + QUARTER, "SCHEDULED", run_count=0))
    prefect.runs[run]["deployment_id"] = str(deployment_id)
    return run
