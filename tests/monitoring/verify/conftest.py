"""The server that the tests of the verification begin with."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.expectations import sync_expectations
from tests.monitoring.verify.logged import JOB, MINUTE, TICKS
from tests.support.fake_prefect import FakePrefect


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    """A server whose job is due every quarter of an hour, seen two hours after it was deployed."""
    prefect = FakePrefect()
    prefect.deploy(JOB)
    async with prefect.client() as client:
        await sync_expectations(client, database)
    prefect.now = TICKS[-1] + 14 * MINUTE
    return prefect
