"""A schedule that cannot be computed is told from one that is over, and from one that is yet to be planned."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.verdicts.report import JobReport, read_report
from flows.monitoring.verdicts.wording import explain_job
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import clock, ran, seed
from tests.support.fake_prefect import FakePrefect

HOUR = timedelta(hours=1)


async def judged(database: AsyncEngine, rule: dict[str, Any], *, is_active: bool = True) -> tuple[JobReport, str]:
    """The verdict on a job that last ran two days ago, and whose only schedule was deployed yesterday."""
    prefect = FakePrefect(now=await clock(database) - 24 * HOUR)
    schedule = prefect.schedule(HOUR) | {"schedule": {"timezone": "Europe/Berlin", **rule}, "active": is_active}
    prefect.deploy("nightly", schedules=[schedule], tags=["monitored"])
    await seed(database, rows=[ran("nightly", prefect.now - 24 * HOUR)])
    async with prefect.client() as client:
        await sync_expectations(client, database)
        prefect.now += 24 * HOUR
        await sync_expectations(client, database)
    async with reading(database) as connection:
        report = await read_report(connection, Settings())
    job = report.jobs["nightly"]
    return job, explain_job(job, report.at)


UTC_UNTIL = "FREQ=DAILY;UNTIL=20991231T000000Z"


@pytest.mark.parametrize(
    "rule",
    [
        {"rrule": UTC_UNTIL},  # Prefect takes it, and then fails at each pass
        {"cron": "0 6 30 2 *", "day_or": True},
        {"interval": 2e11, "anchor_date": "2026-01-01T00:00:00+00:00"},
    ],
)
async def test_a_schedule_that_cannot_be_computed_is_told(database: AsyncEngine, rule: dict[str, Any]) -> None:
    job, explanation = await judged(database, rule)
    assert (job.judgement.verdict, job.judgement.reason, job.judgement.warnings) == ("unhealthy", "bad_schedule", ())
    assert explanation.startswith("Its schedule cannot be computed, so Prefect plans no run of it: ")


async def test_a_schedule_that_is_over_or_switched_off_is_not_bad(database: AsyncEngine) -> None:
    over, _ = await judged(database, {"rrule": "DTSTART:20200101T000000\nFREQ=DAILY;COUNT=3"})
    assert over.judgement.verdict == "healthy"
    off, _ = await judged(database, {"rrule": UTC_UNTIL}, is_active=False)
    assert off.judgement.verdict == "paused"
