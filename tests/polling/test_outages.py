"""What is remembered between runs that fail: how many they were, and for how long AskNews wants to be left alone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from sqlalchemy.ext.asyncio import AsyncEngine

from flows import logs
from flows.asknews import AskNewsError, RateLimited, ServiceFailed
from flows.polling.run import ASKS_ONCE_AFTER, PollingRun, polling_run
from flows.settings import load_settings
from tests.asknews.fakes import SENTINEL_KEY
from tests.polling.runs import JOB

FAILS = ServiceFailed("500: the service failed", status=500)


@pytest.fixture(autouse=True)
def settings(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ASKNEWS_API_KEY", SENTINEL_KEY)
    load_settings.cache_clear()
    logs.configure_logging(load_settings(), to_prefect=False)


@asynccontextmanager
async def opened(attempt: int = 1) -> AsyncGenerator[PollingRun]:
    """A run, or a later attempt of one, without Prefect's server."""
    flow_run = FlowRun.model_validate(
        {"flow_id": uuid4(), "run_count": attempt, "expected_start_time": datetime.now(UTC)}
    )
    with FlowRunContext.model_construct(flow_run=flow_run):
        async with polling_run(JOB) as run:
            yield run


async def fail(error: AskNewsError = FAILS, *, attempts: int = 1) -> None:
    for attempt in range(1, attempts + 1):
        with pytest.raises(type(error)):
            async with opened(attempt):
                raise error


async def asks_once() -> bool:
    """What the next run would do: it is stopped before it has done anything that counts."""
    asked: list[bool] = []

    async def stop() -> None:
        async with opened() as run:
            asked.append(run.asks_once)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        await stop()
    return asked[0]


async def test_a_run_asks_once_after_some_runs_that_failed() -> None:
    for _ in range(ASKS_ONCE_AFTER - 1):
        await fail(attempts=2)
    assert not await asks_once()
    await fail()
    assert await asks_once()


async def test_a_success_ends_the_outage() -> None:
    for _ in range(ASKS_ONCE_AFTER):
        await fail()
    async with opened():
        pass
    assert not await asks_once()


async def test_a_run_that_was_skipped_does_not_end_the_outage() -> None:
    for _ in range(ASKS_ONCE_AFTER):
        await fail()
    async with opened() as run:
        await run.skip(reason="budget", message="spent")
    assert await asks_once()


@pytest.mark.parametrize(("seconds", "expected"), [(3_600.0, True), (0.001, False), (None, False)])
async def test_a_run_asks_once_while_asknews_wants_to_be_left_alone(seconds: float | None, expected: bool) -> None:
    await fail(RateLimited("429: too many requests", status=429, retry_after=seconds))
    assert await asks_once() is expected


async def test_runs_that_end_well_and_gain_nothing_count_as_failed() -> None:
    for _ in range(ASKS_ONCE_AFTER):
        async with opened() as run:
            run.statistics.pages = 1
            run.statistics.failures.append("AskNews repeats a page")
    assert await asks_once()


@pytest.mark.parametrize("gained", ["inserted", "updated", "whole_windows"])
async def test_a_run_that_gained_something_has_not_failed(gained: str) -> None:
    for _ in range(ASKS_ONCE_AFTER):
        async with opened() as run:
            run.statistics.pages = 1
            run.statistics.failures.append("a page")
            setattr(run if gained == "whole_windows" else run.statistics, gained, 1)
    assert not await asks_once()
