"""The status page of a database, as HTML."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.alarms.audience import read_audience
from flows.monitoring.verdicts.history import read_history
from flows.monitoring.verdicts.report import read_report
from flows.monitoring.web.folded import split
from flows.monitoring.web.page import Snapshot, render_page
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, expected, ran, seed, seed_healthy

HOSTILE = "</pre><script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">{{ 7 * 7 }}"


async def page_of(engine: AsyncEngine, **settings: Any) -> str:
    """The page for what is in the database, with its entities resolved."""
    async with reading(engine) as connection:
        report = await read_report(connection, Settings.model_validate(settings))
        audience = await read_audience(connection)
        histories = {
            job.expected.name: await read_history(connection, job.expected, report.at)
            for job in split(report, audience)[0]
        }
    return render_page(Snapshot(report, histories, audience))


async def page_with_hostile_text(engine: AsyncEngine) -> str:
    """The page of a job in whose every word there is markup."""
    now = await seed_healthy(engine)
    name = f"job {'of_a_name_without_a_space_' * 4} {HOSTILE}"
    rows = [
        ran(name, now - MINUTE, "failure", error_message=HOSTILE * 20),
        ran(name, now - 2 * MINUTE, "skipped", details={"reason": HOSTILE}),
        ran(name, now - 3 * MINUTE, details={"fetched": HOSTILE, "inserted": HOSTILE, "updated": 0}),
        ran(name, now - 4 * MINUTE, f"status {HOSTILE}"),
    ]
    await seed(engine, [expected(name, now)], rows)
    return await page_of(engine)
