"""Deployments that are deleted, made again, or called otherwise lose no history and leave no ghost."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.registry import read_jobs
from flows.monitoring.log.rows import LogRow, read_rows, rows_between
from flows.monitoring.verify.verification import verify
from tests.monitoring.reconcile.rounds import status_round
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
MINUTE = timedelta(minutes=1)
DUE = START + 15 * MINUTE


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    """A server with a job that writes no rows itself, and that is known for a minute."""
    prefect = FakePrefect()
    prefect.deploy(JOB, tags=["monitored"])
    prefect.now += MINUTE
    await status_round(prefect, database)
    return prefect


async def row_of(database: AsyncEngine, run: UUID) -> LogRow:
    async with reading(database) as connection:
        return (await read_rows(connection, [run]))[run]


async def rows_of(database: AsyncEngine, job_name: str) -> list[tuple[str, str]]:
    async with reading(database) as connection:
        rows = await rows_between(connection, [job_name], START, START + timedelta(days=1))
    return [(str(row.scheduled_for), row.status) for row in rows]


async def test_a_run_outlives_its_deployment(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, DUE, "RUNNING")
    prefect.now = DUE + MINUTE
    await status_round(prefect, database)
    prefect.deployments.clear()
    prefect.now += 20 * MINUTE
    await status_round(prefect, database)
    assert (await row_of(database, run)).status == "running"
    prefect.set_state(run, "COMPLETED")
    prefect.now += 5 * MINUTE
    await status_round(prefect, database)
    assert (await row_of(database, run)).status == "success"


async def test_runs_of_a_deployment_that_was_made_again_are_the_jobs(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, DUE)
    going = prefect.run(JOB, DUE + 15 * MINUTE, "RUNNING")
    prefect.now = DUE + 16 * MINUTE
    prefect.deployments.clear()
    again = prefect.deploy(JOB, tags=["monitored"])
    await status_round(prefect, database)
    prefect.now += MINUTE
    prefect.set_state(going, "COMPLETED")
    prefect.now += 5 * MINUTE
    await status_round(prefect, database)
    assert [status for _, status in await rows_of(database, JOB)] == ["success", "success"]
    assert (await row_of(database, run)).job_name == JOB
    async with prefect.client() as client:
        (account,) = (await verify(client, database, since=START)).jobs
    assert not list(account.problems())
    assert not [each for each in account.ticks if each.is_only_logged]
    async with reading(database) as connection:
        assert str((await read_jobs(connection))[JOB].deployment_id) == again["id"]


async def test_a_deployment_under_another_name_is_another_job(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.run(JOB, DUE)
    prefect.now = DUE + MINUTE
    await status_round(prefect, database)
    prefect.deployments.clear()
    prefect.deploy(JOB, name="eu", tags=["monitored"])
    prefect.now += MINUTE
    await status_round(prefect, database)
    prefect.run(JOB, DUE + 15 * MINUTE)
    prefect.now = DUE + 17 * MINUTE
    await status_round(prefect, database)
    assert await rows_of(database, JOB) == [(str(DUE), "success")]
    assert await rows_of(database, f"{JOB}/eu") == [(str(DUE + 15 * MINUTE), "success")]
    async with reading(database) as connection:
        retired = {name: job.retired_at is not None for name, job in (await read_jobs(connection)).items()}
    assert retired == {JOB: True, f"{JOB}/eu": False}


async def as_in_the_first_release(prefect: FakePrefect, database: AsyncEngine, *, name: str) -> None:
    """The job has a row, and then its deployment has another name than the log knows."""
    prefect.run(JOB, DUE)
    prefect.now = DUE + MINUTE
    await status_round(prefect, database)
    prefect.deployments[0]["name"] = name


async def test_a_job_of_the_first_release_takes_its_past_along(prefect: FakePrefect, database: AsyncEngine) -> None:
    await as_in_the_first_release(prefect, database, name="eu")
    await status_round(prefect, database)
    assert await rows_of(database, "poll/eu") == [(str(DUE), "success")]
    async with reading(database) as connection:
        jobs = await read_jobs(connection)
    assert list(jobs) == ["poll/eu"]
    assert jobs["poll/eu"].since < DUE


async def test_a_past_that_two_deployments_share_stays_where_it_is(prefect: FakePrefect, database: AsyncEngine) -> None:
    await as_in_the_first_release(prefect, database, name="eu")
    prefect.deploy(JOB, name="us", tags=["monitored"])
    await status_round(prefect, database)
    assert await rows_of(database, "poll") == [(str(DUE), "success")]
    async with reading(database) as connection:
        retired = {name for name, job in (await read_jobs(connection)).items() if job.retired_at is not None}
    assert retired == {"poll"}
