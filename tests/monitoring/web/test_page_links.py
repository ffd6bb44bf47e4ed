"""Where the status page leads: to Prefect's pages, where their address is known."""

import re

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.registry import AbsentWorker, note_absent_workers
from tests.monitoring.verdicts.seeding import MINUTE, ran, seed, seed_healthy
from tests.monitoring.web.serving import asking


async def links(engine: AsyncEngine, database_url: str, **settings: str) -> list[str]:
    """The page's links to elsewhere, for a job that failed and one that nobody executes."""
    now = await seed_healthy(engine)
    await seed(engine, rows=[ran("poll_news", now, "failure", error_message="It broke.")])
    async with engine.begin() as connection:
        await note_absent_workers(connection, {"poll_stories": AbsentWorker("the polls", now - MINUTE)})
    async with asking(database_url, **settings) as client:
        page = (await client.get("/")).text
    assert "Work pool: " in page
    return re.findall(r'href="(http[^"]+)"', page)


async def test_the_page_leads_to_the_failed_run_and_the_work_pool(database: AsyncEngine, database_url: str) -> None:
    found = await links(database, database_url, prefect_ui_url="http://prefect.example.org/")
    assert len(found) == 2
    assert found[0] == "http://prefect.example.org/work-pools/work-pool/the%20polls"
    assert re.fullmatch(r"http://prefect\.example\.org/runs/flow-run/[0-9a-f-]{36}", found[1])


async def test_without_that_address_it_leads_nowhere(database: AsyncEngine, database_url: str) -> None:
    assert await links(database, database_url) == []
