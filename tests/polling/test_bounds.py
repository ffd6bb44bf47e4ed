"""How long a run may take: each bound leaves room for the ones inside it, and a slow page costs no run its counts."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect import Task
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.sandbox import Fault
from flows.asknews import RequestTimedOut
from flows.asknews.client import LONGEST_CONNECT_SECONDS, LONGEST_REQUEST_SECONDS
from flows.poll_news import poll_news
from flows.poll_stories import poll_stories
from flows.polling.bounds import PAGE_SECONDS, PAGING_SECONDS, RUN_RETRIES, RUN_RETRY_DELAY_SECONDS, RUN_SECONDS
from flows.polling.news_feed import NewsFeed
from flows.polling.pages import poll_scopes
from flows.polling.retries import BACKOFF_SECONDS, delay_bounds, fetch_again, retry_if_temporary
from flows.settings import Settings
from tests.asknews.fakes import client_of
from tests.polling.runs import ASKED, NOW, REACH, FakeFeed, polling_run, row_of, waiting
from tests.polling.simulated import MATCHER, NAMES
from tests.polling.test_source import seeded
from tests.support.sandbox_server import ManualClock, running_sandbox

ROOT = Path(__file__).parents[2]
DRIPS = RequestTimedOut("AskNews did not answer in time (TimeoutError)")
# For a database that is slow: connecting, and the statements around the last page.
DATABASE_SECONDS = 60
SETTINGS = Settings.model_fields


def interval_seconds(name: str) -> float:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (deployment,) = (each for each in deployments if each["entrypoint"].endswith(f".{name}"))
    return min(schedule["interval"] for schedule in deployment["schedules"])


async def is_retried(begun_seconds_ago: float, attempt: int) -> bool:
    task_run = TaskRun.model_validate({"task_key": "fetch", "dynamic_key": str(uuid4()), "run_count": attempt})
    begun_at = datetime.now(UTC) - timedelta(seconds=begun_seconds_ago)
    task: Task[..., Any] = fetch_again
    return await retry_if_temporary(task, task_run, Failed(data=DRIPS), begun_at=begun_at)


@pytest.mark.parametrize("flow", [poll_news, poll_stories])
def test_a_run_and_its_retry_end_before_the_next_tick(flow: Any) -> None:
    last_page_ends = PAGING_SECONDS + PAGE_SECONDS
    assert last_page_ends + DATABASE_SECONDS < flow.timeout_seconds == RUN_SECONDS
    both = flow.timeout_seconds * (1 + flow.retries) + flow.retries * flow.retry_delay_seconds
    assert (flow.retries, flow.retry_delay_seconds) == (RUN_RETRIES, RUN_RETRY_DELAY_SECONDS)
    assert both < interval_seconds(flow.name)


def test_two_slow_requests_fit_into_a_page_and_its_paging() -> None:
    pause = 1 / SETTINGS["requests_per_second"].default
    _shortest, longest = delay_bounds(BACKOFF_SECONDS[0])
    assert LONGEST_CONNECT_SECONDS < SETTINGS["request_timeout_seconds"].default < LONGEST_REQUEST_SECONDS
    assert 2 * (pause + LONGEST_REQUEST_SECONDS) + longest <= PAGE_SECONDS < PAGING_SECONDS
    slowest = Settings.model_fields["requests_per_second"].metadata[0].ge
    assert 1 / slowest + LONGEST_REQUEST_SECONDS <= PAGE_SECONDS, "one attempt, however slow the pace"


@pytest.mark.parametrize("attempt", [1, 2, 3])
async def test_only_an_attempt_that_can_end_in_the_pages_time_is_made(attempt: int) -> None:
    _shortest, longest = delay_bounds(BACKOFF_SECONDS[attempt - 1])
    left = PAGE_SECONDS - longest - LONGEST_REQUEST_SECONDS - 1 / SETTINGS["requests_per_second"].default
    assert await is_retried(left - 2, attempt)
    assert not await is_retried(left + 1, attempt)


async def test_a_page_that_never_comes_ends_in_a_deferral_with_counts(database: AsyncEngine) -> None:
    run = polling_run(database)
    feed = FakeFeed(run, rows=35, fails={10: DRIPS}, takes={10: PAGE_SECONDS})
    await poll_scopes(run, {"": feed}, REACH)
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.details["fetched"], row.details["deferred_stretches"]) == ("partial_failure", 25, 1)
    assert len(await waiting(database)) == 1


async def test_the_sandboxs_dripping_page_is_stepped_over(database: AsyncEngine) -> None:
    await seeded(database)
    # Each read is in time, as a byte comes each second; the answer never is.
    drips = Fault(kind="drips", offset=10, times="forever", seconds=60)
    with running_sandbox(clock=ManualClock(NOW), faults=[drips]) as sandbox:
        async with client_of(base_url=sandbox.base_url, read_timeout_seconds=1.2) as client:
            run = polling_run(database)
            feed = NewsFeed(client, run.budget, NAMES, MATCHER, ASKED, now=NOW)
            began = time.monotonic()
            await poll_scopes(run, {"": feed}, replace(REACH, lookback=timedelta(hours=2)))
            assert time.monotonic() - began < 60, "the page was given up, and not waited for"
        offered = [request for request in sandbox.requests if request.fault is None]
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.details["pages"], row.details["deferred_stretches"]) == ("partial_failure", len(offered), 1)
    assert row.details["fetched"] > ASKED // 5
    assert "did not answer in time" in (row.error_message or "")
    assert len(await waiting(database)) == 1


@pytest.mark.parametrize("dripping", [{}, {10: DRIPS}])
async def test_no_page_is_begun_when_the_paging_time_is_up(
    database: AsyncEngine, dripping: dict[int, RequestTimedOut]
) -> None:
    run = polling_run(database)
    feed = FakeFeed(run, rows=85, fails=dripping, takes=dict.fromkeys(range(0, 100, 10), PAGE_SECONDS))
    await poll_scopes(run, {"": feed}, REACH)
    assert len(feed.asked) == 2
    assert (run.statistics.pages > 0, run.statistics.caught_up) == (True, False)


def test_the_document_tells_the_same_bounds() -> None:
    told = dict(re.findall(r"\| (\d+) s \| `(\w+)` \|", (ROOT / "docs/bounds.md").read_text()))
    assert {name: float(seconds) for seconds, name in told.items()} == {
        "LONGEST_CONNECT_SECONDS": LONGEST_CONNECT_SECONDS,
        "VIBECHECK_REQUEST_TIMEOUT_SECONDS": SETTINGS["request_timeout_seconds"].default,
        "LONGEST_REQUEST_SECONDS": LONGEST_REQUEST_SECONDS,
        "PAGE_SECONDS": PAGE_SECONDS,
        "PAGING_SECONDS": PAGING_SECONDS,
        "RUN_SECONDS": RUN_SECONDS,
    }
