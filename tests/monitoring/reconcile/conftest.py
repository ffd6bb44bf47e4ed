"""The server that most tests of the reconciler begin with."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.monitoring.reconcile.rounds import JOB, round_of
from tests.support.fake_prefect import FakePrefect


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    """A server whose job was deployed, and noticed, a second ago."""
    prefect = FakePrefect()
    prefect.deploy(JOB)
    await round_of(prefect, database)
    return prefect
