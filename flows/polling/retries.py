"""The retry policy of every call to AskNews: which errors are worth another attempt, and how long to wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypedDict

import structlog
from prefect import Task, get_client
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.tasks import exponential_backoff

from flows.asknews import RetryableError
from flows.settings import load_settings

ATTEMPTS = 4
# Seconds before the second, third and fourth attempt, before jitter.
BACKOFF_SECONDS = exponential_backoff(2)(ATTEMPTS - 1)
JITTER_FACTOR = 0.5

logger = structlog.stdlib.get_logger()


class FetchOptions(TypedDict):
    """The options of `prefect.task` that every task which calls AskNews shares."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], Coroutine[Any, Any, bool]]
    cache_policy: CachePolicy
    persist_result: bool


async def retry_if_temporary(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether Prefect shall retry: yes for a RetryableError, after the wait that its `Retry-After` asks for.

    Prefect's own delay between attempts is fixed beforehand, so the server's wish is met here: this condition is
    awaited before the delay. The wait is bounded by `max_retry_wait_seconds`, lest a header stop the job for a day.
    """
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, RetryableError):
        return False
    wait_seconds = min(error.retry_after or 0.0, load_settings().max_retry_wait_seconds)
    logger.warning(
        "request_retried",
        retry_number=task_run.run_count,
        retries_allowed=task.retries,
        caused_by=type(error).__name__,
        error=str(error),
        asked_to_wait_seconds=error.retry_after,
        waits_seconds=wait_seconds,
    )
    await asyncio.sleep(wait_seconds)
    return True


FETCH_OPTIONS = FetchOptions(
    retries=ATTEMPTS - 1,
    retry_delay_seconds=BACKOFF_SECONDS,
    retry_jitter_factor=JITTER_FACTOR,
    retry_condition_fn=retry_if_temporary,
    # A page is stored at once by its flow, and never fetched from a cache.
    cache_policy=NO_CACHE,
    persist_result=False,
)


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
