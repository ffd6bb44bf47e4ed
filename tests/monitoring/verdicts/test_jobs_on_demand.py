"""A job that never had a schedule is judged by what its runs do: nobody knows when it is to run."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.jobs.registry import AbsentWorker
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.report import Report, read_report
from flows.monitoring.verdicts.wording import explain_job
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, ran, seed
from tests.support.fake_prefect import FakePrefect

JOB, DAY = "on_upload", timedelta(days=1)


async def judged(database: AsyncEngine, *rows: LogRow) -> Report:
    """The verdict on a job that was deployed yesterday, and since then judged without a worker."""
    prefect = FakePrefect(now=await clock(database) - DAY)
    prefect.deploy(JOB, every=None, tags=["monitored", "failing_after=2", "stale_after=3h", "duration=5m"])
    await seed(database, rows=rows)
    async with prefect.client() as client:
        for _ in range(2):
            await sync_expectations(client, database)
    await judge(database, Settings(), {JOB: AbsentWorker("reports", None)})
    async with reading(database) as connection:
        return await read_report(connection, Settings())


@pytest.mark.parametrize(
    ("reason", "past"),
    [
        (None, [(60, "success")]),
        ("failing", [(30, "failure"), (20, "failure")]),
        ("no_success", [(200, "success"), (5, "partial_failure")]),
        ("stuck", [(60, "success"), (6, "running")]),
    ],
)
async def test_it_is_judged_by_its_runs(database: AsyncEngine, reason: str | None, past: list[tuple[int, str]]) -> None:
    now = await clock(database)
    report = await judged(database, *(ran(JOB, now - minutes * MINUTE, status) for minutes, status in past))
    judgement = report.jobs[JOB].judgement
    assert (judgement.verdict, judgement.reason) == ("unhealthy" if reason else "healthy", reason)
    assert judgement.warnings == ()


async def test_one_that_never_ran_is_healthy(database: AsyncEngine) -> None:
    prefect = FakePrefect(now=await clock(database))
    prefect.deploy(JOB, every=None, tags=["monitored"])
    async with prefect.client() as client:
        await sync_expectations(client, database)
    async with reading(database) as connection:
        report = await read_report(connection, Settings())
    assert report.jobs[JOB].judgement.verdict == "healthy"
    assert explain_job(report.jobs[JOB], report.at) == "Has not run yet, and nothing schedules it."
