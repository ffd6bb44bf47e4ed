"""What watching costs grows with the jobs in pages of 200, and not with each of them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.alarms.publish import publish
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.paging import PAGE
from flows.monitoring.reconcile import repair as repairs
from flows.monitoring.reconcile.repair import repair
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.report import read_report
from flows.monitoring.verify.verification import verify
from flows.monitoring.web import app
from flows.settings import Settings
from tests.monitoring.many_jobs import counting, many
from tests.monitoring.web.serving import asking
from tests.support.fake_prefect import FakePrefect

FEW, MANY = 3, 1_000
PAGES = MANY // PAGE
SETTINGS = Settings()


async def statements_of_a_report(engine: AsyncEngine) -> int:
    async with reading(engine) as connection:
        with counting(engine) as asked:
            await read_report(connection, SETTINGS)
    return len(asked.statements)


async def test_a_report_takes_as_many_statements_for_a_thousand_jobs(database: AsyncEngine) -> None:
    await many(database, FEW)
    few = await statements_of_a_report(database)
    await many(database, MANY)
    # Of those that fail and those that bring nothing new, a page more is read.
    assert few <= 3
    assert await statements_of_a_report(database) <= few + 2


@pytest.mark.timeout(300)
async def test_the_status_flow_asks_in_pages(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    # As below; and Prefect 3.8.8 looks for timezones on the disk with each schedule that it reads.
    monkeypatch.setattr(repairs, "QUICK_SECONDS", 250.0)
    asked: dict[int, list[tuple[int, int]]] = {}
    for count in (FEW, MANY):
        prefect = FakePrefect()
        await many(database, count, prefect)
        asked[count] = [await a_status_flow(database, prefect) for _ in range(3)]
    for few, thousand in zip(asked[FEW], asked[MANY], strict=True):
        assert thousand[0] <= few[0] + 12 * PAGES
        assert thousand[1] <= few[1] + 6 * PAGES


async def a_status_flow(engine: AsyncEngine, prefect: FakePrefect) -> tuple[int, int]:
    """How many statements and requests one takes. The second one of a row finds each job's verdict confirmed."""
    prefect.requests.clear()
    with counting(engine) as asked:
        async with prefect.client() as client:
            repaired = await repair(client, engine, SETTINGS)
            repaired.raise_failures()
            await publish(client, engine, SETTINGS, await judge(engine, SETTINGS, repaired.absent))
    return len(asked.statements), len(prefect.requests)


@pytest.mark.timeout(300)
async def test_verify_and_the_copying_of_deployments_ask_in_pages(database: AsyncEngine) -> None:
    counts: dict[int, tuple[int, int]] = {}
    for count in (FEW, MANY):
        prefect = FakePrefect()
        now = await many(database, count, prefect)
        with counting(database) as asked:
            async with prefect.client() as client:
                await sync_expectations(client, database)
                await verify(client, database, since=now - timedelta(minutes=30))
        counts[count] = len(asked.statements), len(prefect.requests)
    assert counts[MANY][0] <= counts[FEW][0] + 5 * PAGES
    assert counts[MANY][1] <= counts[FEW][1] + 8 * PAGES


async def test_a_thousand_jobs_are_a_small_page_worst_first(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long it takes is measured in benchmarks/: a loaded machine may take longer.
    monkeypatch.setattr(app, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(app, "READ_SECONDS", 60.0)
    await many(database, MANY)
    async with asking(database_url) as client:
        page = await client.get("/")
        health: dict[str, Any] = (await client.get("/health/scheduler")).json()
    assert len(page.content) <= 300_000
    assert page.text.count("<article") == 6
    assert page.text.index("jobs are unhealthy") < page.text.index("jobs are healthy")
    assert "team/report_0005" in page.text
    assert len(health["jobs"]) == MANY
    assert health["reason"] in ("jobs", "stale")
