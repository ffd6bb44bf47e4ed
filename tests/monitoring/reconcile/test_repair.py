"""A repair that fails, in whole or in part, ends neither judging nor telling."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import DatabaseUnavailable, create_engine, reading
from flows.monitoring.jobs.registry import AbsentWorker, read_jobs
from flows.monitoring.reconcile.repair import Repair, RepairFailed, repair
from flows.monitoring.verdicts.changes import judge
from flows.settings import Settings
from tests.support.fake_prefect import FakePrefect
from tests.support.ports import free_port

STEPS = {"/deployments/filter": "copy the deployments", "/flow_runs/filter": "reconcile the log"}


async def repaired(prefect: FakePrefect, database: AsyncEngine) -> Repair:
    async with prefect.client() as client:
        return await repair(client, database, Settings())


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    """A server with two jobs that are known, each on a pool that nobody polls."""
    prefect = FakePrefect(work_pools={"here": "NOT_READY", "there": "NOT_READY"})
    prefect.deploy("near", work_pool_name="here")
    prefect.deploy("far", work_pool_name="there")
    await judge(database, Settings(), (await repaired(prefect, database)).absent)
    return prefect


async def absences(database: AsyncEngine) -> dict[str, str | None]:
    async with reading(database) as connection:
        return {name: job.absent_work_pool for name, job in (await read_jobs(connection)).items()}


@pytest.mark.parametrize("broken", STEPS)
async def test_a_step_that_fails_ends_no_other(prefect: FakePrefect, database: AsyncEngine, broken: str) -> None:
    prefect.now += timedelta(minutes=20)
    prefect.is_broken_for = lambda path: path == broken
    done = await repaired(prefect, database)
    assert STEPS[broken] in done.failures
    with pytest.raises(RepairFailed, match=STEPS[broken]):
        done.raise_failures()
    report = await judge(database, Settings(), done.absent)
    assert set(report.jobs) == {"near", "far"}
    assert await absences(database) == {"near": "here", "far": "there"}


async def test_an_error_of_any_kind_is_named_and_the_rest_goes_on(
    prefect: FakePrefect, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect, "flows", dict.fromkeys(prefect.flows))
    done = await repaired(prefect, database)
    assert done.failures
    assert await absences(database) == {"near": "here", "far": "there"}


async def test_a_pool_the_server_does_not_tell_of_keeps_what_is_known(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    prefect.work_pools = {"here": "READY", "there": "READY"}
    prefect.is_broken_for = lambda path: path == "/work_pools/there"
    done = await repaired(prefect, database)
    assert (done.absent, done.failures) == ({"near": None}, {})
    await judge(database, Settings(), done.absent)
    assert await absences(database) == {"near": None, "far": "there"}


async def test_a_pool_that_is_gone_has_no_worker(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.work_pools = {"here": "READY"}
    assert (await repaired(prefect, database)).absent == {"near": None, "far": AbsentWorker("there", None)}


async def test_without_the_database_there_is_nothing_to_repair() -> None:
    engine = create_engine(f"postgresql+asyncpg://user:word@127.0.0.1:{free_port()}/x")
    with pytest.raises(DatabaseUnavailable):
        await repaired(FakePrefect(), engine)
    await engine.dispose()
