"""A deployment that has lost its schedule is told from one that somebody paused, and from one that never had any."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.jobs.registry import StoredJob, read_jobs
from flows.monitoring.tables import MonitoredJob
from flows.monitoring.verdicts.expected import expected_of
from tests.support.fake_prefect import START, FakePrefect

QUARTER = timedelta(minutes=15)


async def synced(prefect: FakePrefect, database: AsyncEngine) -> StoredJob:
    async with prefect.client() as client:
        await sync_expectations(client, database)
    async with reading(database) as connection:
        return (await read_jobs(connection))["poll"]


async def test_a_schedule_that_is_gone_was_lost_but_of_a_paused_job(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    schedules = deployment["schedules"]
    await synced(prefect, database)

    async def is_lost_after(**changes: Any) -> bool:
        prefect.now += QUARTER
        deployment.update(changes, updated=prefect.now.isoformat())
        return expected_of(await synced(prefect, database)).has_lost_schedule

    for tags in (["monitored"], ["monitored", "within=5m"]):
        for _ in range(2):
            assert await is_lost_after(schedules=[], tags=tags)
    assert not await is_lost_after(paused=True)
    for _ in range(2):
        assert not await is_lost_after(paused=False), "somebody has seen it, and said that it needs none"
    assert not await is_lost_after(schedules=schedules)
    assert not await is_lost_after(schedules=[{**schedules[0], "active": False}]), "switched off is not lost"


HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("kept", "is_lost"),
    {
        "one is gone": ([HOURLY], True),
        "the other is gone": ([DAILY], True),
        "another stands in its place": ([HOURLY, 2 * DAILY], False),
        "both became one": ([2 * HOURLY], False),
        "both are there": ([HOURLY, DAILY], False),
        "one more is there": ([HOURLY, DAILY, 2 * DAILY], False),
    }.values(),
)
async def test_one_of_several_schedules_is_lost_if_no_other_changed(
    database: AsyncEngine, kept: list[timedelta], is_lost: bool
) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll", schedules=[prefect.schedule(HOURLY), prefect.schedule(DAILY)])
    assert (await synced(prefect, database)).lost_schedules is None
    deployment["schedules"] = [prefect.schedule(every) for every in kept]
    for _ in range(2):
        lost = (await synced(prefect, database)).lost_schedules
        gone = [every.total_seconds() for every in (HOURLY, DAILY) if every not in kept]
        assert [spec["interval"] for spec in lost or []] == (gone if is_lost else [])
    deployment["schedules"] = [prefect.schedule(HOURLY), prefect.schedule(DAILY), prefect.schedule(2 * DAILY)]
    assert (await synced(prefect, database)).lost_schedules is None


@pytest.mark.parametrize("seen_first", ["switched off", "paused"])
async def test_what_somebody_stopped_is_not_lost(database: AsyncEngine, seen_first: str) -> None:
    prefect = FakePrefect()
    hourly, daily = prefect.schedule(HOURLY), prefect.schedule(DAILY)
    deployment = prefect.deploy("poll", schedules=[hourly, daily])
    await synced(prefect, database)
    if seen_first == "paused":
        deployment["paused"] = True
    else:
        deployment["schedules"] = [hourly, {**daily, "active": False}]
    await synced(prefect, database)
    deployment.update(schedules=[hourly], paused=False)
    assert (await synced(prefect, database)).lost_schedules is None


async def test_a_schedule_is_gone_since_it_was_last_seen(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    await synced(prefect, database)
    async with database.begin() as connection:
        await connection.execute(update(table_of(MonitoredJob)).values(updated_at=START + QUARTER))
    # To delete a schedule changes no time on the server.
    deployment["schedules"] = []
    prefect.now += 2 * QUARTER

    job = await synced(prefect, database)

    assert (job.since, job.schedule, job.paused) == (START + QUARTER, [], False)
