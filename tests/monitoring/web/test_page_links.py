"""Where the status page leads: to Prefect's pages, where their address is known."""

import asyncio
import re
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.registry import AbsentWorker, note_absent_workers
from tests.monitoring.verdicts.seeding import MINUTE, expected, ran, seed, seed_healthy
from tests.monitoring.web.serving import PATIENCE_SECONDS, asking

STUCK_RUN = UUID("0199a3f0-0000-7000-8000-000000000001")


async def links(engine: AsyncEngine, database_url: str, **settings: str) -> list[str]:
    """The page's links to elsewhere, for jobs that failed, that are stuck, and that nobody executes."""
    now = await seed_healthy(engine)
    stuck = ran("stuck", now - 20 * MINUTE, "running", execution_id=STUCK_RUN)
    await seed(engine, [expected("stuck", now)], [ran("poll_news", now, "failure", error_message="It broke."), stuck])
    async with engine.begin() as connection:
        await note_absent_workers(connection, {"poll_stories": AbsentWorker("the polls", now - MINUTE)})
    async with asking(database_url, **settings) as client, asyncio.timeout(PATIENCE_SECONDS):
        # On a machine that stands still for more than a second, nothing can be read in time.
        while (answer := await client.get("/")).status_code == 503:
            pass
        page = answer.text
    assert "No worker has polled the work pool the polls since" in page
    return re.findall(r'href="(http[^"]+)"', page)


async def test_the_page_leads_to_runs_and_work_pools(database: AsyncEngine, database_url: str) -> None:
    found = await links(database, database_url, prefect_ui_url="http://prefect.example.org/")
    assert len(found) == 3
    assert found[:2] == [
        "http://prefect.example.org/work-pools/work-pool/the%20polls",
        f"http://prefect.example.org/runs/flow-run/{STUCK_RUN}",
    ]
    assert re.fullmatch(r"http://prefect\.example\.org/runs/flow-run/[0-9a-f-]{36}", found[2])


async def test_without_that_address_it_leads_nowhere(database: AsyncEngine, database_url: str) -> None:
    assert await links(database, database_url) == []
