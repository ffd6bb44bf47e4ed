"""What the tests of the page look at."""

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    """What the page shows does not depend on the kind of database."""
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()
