"""The retry policy of every call to AskNews: which errors are worth another attempt, and how long to wait for it."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from prefect import Task, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff
from prefect.utilities.math import lower_clamp_multiple

from flows.asknews import Page, RetryableError
from flows.asknews.client import LONGEST_REQUEST_SECONDS
from flows.polling.bounds import PAGE_SECONDS
from flows.polling.feeds import Feed
from flows.polling.windows import Window
from flows.settings import load_settings

ATTEMPTS = 4
# Seconds before the second, third and fourth attempt, before jitter.
BACKOFF_SECONDS = exponential_backoff(2)(ATTEMPTS - 1)
JITTER_FACTOR = 0.5

logger = structlog.stdlib.get_logger()


async def retry_if_temporary(task: Task[..., Any], task_run: TaskRun, state: State[Any], *, begun_at: datetime) -> bool:
    """Return whether Prefect shall retry: yes for a RetryableError, after the wait that its `Retry-After` asks for.

    Prefect draws its own delay only after this condition, so the rest of what the server asks for is waited here. That
    is bounded by `max_retry_wait_seconds`, lest a header stop the job for a day. The event tells the bounds of both.

    No retry is made that may end later than `PAGE_SECONDS` after the page was begun.
    """
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, RetryableError):
        return False
    shortest, longest = delay_bounds(BACKOFF_SECONDS[min(task_run.run_count, len(BACKOFF_SECONDS)) - 1])
    settings = load_settings()
    asked = min(error.retry_after or 0.0, settings.max_retry_wait_seconds)
    wait_seconds = max(0.0, asked - shortest)
    taken = (datetime.now(UTC) - begun_at).total_seconds()
    attempt_seconds = 1 / settings.requests_per_second + LONGEST_REQUEST_SECONDS
    if taken + wait_seconds + longest + attempt_seconds > PAGE_SECONDS:
        logger.warning("page_out_of_time", attempts=task_run.run_count, taken_seconds=round(taken, 1), error=str(error))
        return False
    logger.warning(
        "request_retried",
        retry_number=task_run.run_count,
        retries_allowed=task.retries,
        caused_by=type(error).__name__,
        error=str(error),
        asked_to_wait_seconds=error.retry_after,
        waits_at_least_seconds=round(wait_seconds + shortest, 1),
        waits_at_most_seconds=round(wait_seconds + longest, 1),
    )
    await asyncio.sleep(wait_seconds)
    return True


def delay_bounds(seconds: float) -> tuple[float, float]:
    """Return the shortest and the longest delay, in seconds, that Prefect's jitter makes of `seconds`."""
    return seconds * lower_clamp_multiple(1 + JITTER_FACTOR), seconds * (1 + JITTER_FACTOR)


async def fetch_once(feed: Feed[Any], window: Window, offset: int | str) -> Page[Any]:
    """Return one page of `feed`, or raise what its only request raised."""
    return await feed.fetch(window, offset)


async def fetch_page(feed: Feed[Any], window: Window, offset: int | str) -> Page[Any]:
    """Return one page of `feed`, after all retries.

    Only a page that has failed becomes a task: each costs Prefect a tenth of a second, most of it in its server.
    """
    begun_at = datetime.now(UTC)
    try:
        return await fetch_once(feed, window, offset)
    except RetryableError as error:
        again = fetch_again.with_options(retry_condition_fn=partial(retry_if_temporary, begun_at=begun_at))
        return await again(feed, window, offset, error)


# A task's arguments are shown in Prefect by name.
@task(
    name="fetch page",
    task_run_name="{feed.name} at {offset}",
    retries=ATTEMPTS - 1,
    retry_delay_seconds=BACKOFF_SECONDS,
    retry_jitter_factor=JITTER_FACTOR,
    # A page is stored at once by its flow, and never fetched from a cache.
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def fetch_again(feed: Feed[Any], window: Window, offset: int | str, failed: RetryableError) -> Page[Any]:
    """Return one page of `feed`, whose first attempt has `failed` already: Prefect waits and tells as after its own."""
    context = TaskRunContext.get()
    if context is not None and context.task_run.run_count == 1:
        raise failed
    return await fetch_once(feed, window, offset)


async def withdraw_retries(flow_run: FlowRun) -> None:
    """Let the run fail at once when it raises. For errors that no retry helps, such as a refused key. Raises nothing.

    Prefect has no condition for a flow's retries, as it has for a task's; its server reads the run's own policy.
    """
    policy = flow_run.empirical_policy.model_copy(update={"retries": 0})
    try:
        async with get_client() as client:
            await client.update_flow_run(flow_run.id, empirical_policy=policy)
    except Exception as error:  # noqa: BLE001  # the run's own error must be the one that is raised; this costs a retry
        logger.warning("retries_not_withdrawn", error_type=type(error).__name__, error=str(error))
