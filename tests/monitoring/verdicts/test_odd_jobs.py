"""What one job says of itself, however odd, neither counts nor hides the verdicts on the others."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.verdicts.budgets import budget_of
from flows.monitoring.verdicts.measures import measures_of
from flows.monitoring.verdicts.report import read_report
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, budget, expected, interval_schedule, ran, seed, seed_healthy


async def test_an_absurd_interval_hides_no_other_job(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    absurd = timedelta(seconds=2e11).total_seconds() / 60
    mixed = [*interval_schedule(absurd), *interval_schedule(15)]
    await seed(
        database,
        [
            expected("absurd", now, every_minutes=absurd, next_run_at=None),
            expected("mixed", now, schedule=mixed, interval_seconds=0.0, next_run_at=now - 2 * MINUTE),
        ],
        [ran("mixed", now - MINUTE)],
    )
    async with reading(database) as connection:
        report = await read_report(connection, Settings())
    assert report.jobs["poll_news"].judgement.verdict == "healthy"
    assert report.jobs["absurd"].expected.longest_interval_seconds is None
    assert report.jobs["mixed"].next_tick is None


@pytest.mark.parametrize("details", [{}, {"measures": None}, {"measures": ["odd"]}, {"measures": [{"name": 5}]}])
def test_details_without_readable_measures_report_none(details: dict[str, Any]) -> None:
    assert measures_of(details) == []


@pytest.mark.parametrize(
    "details", [{}, *({"budget": value} for value in (None, {"used": "much"}, 5, budget(10**400)))]
)
def test_details_without_a_readable_budget_report_none(details: dict[str, Any]) -> None:
    assert budget_of(details) is None
