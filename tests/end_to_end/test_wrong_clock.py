"""A worker whose machine's clock is wrong, with a database, a Prefect server and an AskNews whose clocks are right."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.monitoring.log.rows import read_rows
from flows.polling.storage.tables import Article
from tests.end_to_end.conftest import AppliedTemplate, applied_pipeline
from tests.polling.test_source import seeded
from tests.support.wrong_clock import wrong_clock

pytestmark = pytest.mark.end_to_end

# What a poll reads at its first time, and how long it may take until it begins.
LOOKBACK, SLACK = timedelta(hours=24), timedelta(minutes=2)


@pytest.fixture
async def engine(postgresql_url: str) -> AsyncGenerator[AsyncEngine]:
    """A database of its own, as the clock of a file on SQLite is the worker's."""
    engine = create_engine(postgresql_url)
    yield await seeded(engine)
    await engine.dispose()


@pytest.mark.parametrize("by", ["-9m", "+9m"])
async def test_a_poll_by_a_wrong_clock_comes_in_time_and_stores_what_is_there(
    tmp_path: Path, applied_template: AppliedTemplate, postgresql_url: str, engine: AsyncEngine, by: str
) -> None:
    if (wrong := wrong_clock(by)) is None:
        pytest.skip("There is no libfaketime: install it to test with clocks that are wrong.")

    def poll() -> tuple[datetime, UUID, set[str]]:
        with applied_pipeline(tmp_path, applied_template) as pipeline:
            pipeline.prefect.environment |= {"VIBECHECK_DATABASE_URL": postgresql_url, **wrong}
            began = datetime.now(UTC)
            run = pipeline.run("poll_news/scheduled")
            pipeline.prefect.start_worker("vibecheck")
            pipeline.wait_for_state(run, "COMPLETED")
            since, until = (int(at.timestamp()) for at in (began - LOOKBACK + SLACK, began))
            window: dict[str, int] = {"start_timestamp": since, "end_timestamp": until}
            answer = httpx.get(f"{pipeline.sandbox.base_url}/_sandbox/articles", params=window, verify=False)
        return began, UUID(run), {each["article_id"] for each in answer.json() if each["mentions"]}

    began, run, offered = await asyncio.to_thread(poll)
    async with reading(engine) as connection:
        stored = {str(article_id) for article_id in await connection.scalars(select(Article.article_id))}
        row = (await read_rows(connection, [run]))[run]
    assert offered
    assert not offered - stored
    assert row.status == "success"
    assert row.completed_at is not None
    assert began < row.started_at < row.completed_at < began + SLACK, "by the database's clock"
