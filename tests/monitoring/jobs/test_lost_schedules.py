"""A deployment that has lost its schedule is told from one that somebody paused, and from one that never had any."""

from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.jobs.registry import StoredJob, read_jobs
from flows.monitoring.tables import MonitoredJob
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

    async def is_paused_after(**changes: Any) -> bool:
        prefect.now += QUARTER
        deployment.update(changes, updated=prefect.now.isoformat())
        return (await synced(prefect, database)).paused

    for _ in range(2):
        assert not await is_paused_after(schedules=[])
    assert await is_paused_after(paused=True)
    assert await is_paused_after(paused=False), "somebody has seen it, and said that it needs none"
    assert not await is_paused_after(schedules=schedules)
    assert await is_paused_after(schedules=[{**schedules[0], "active": False}]), "switched off is not lost"


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
