"""A watcher outside is pinged: it hears when the status flow does its work, and when it does not."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
import structlog

from flows.monitoring.alarms.answers import AnswerTooLong, post
from flows.settings import MonitoringSettings

PING_SECONDS = 5.0

logger = structlog.stdlib.get_logger()


@dataclass
class OutsideWatch:
    """What the watcher outside will be told at the end."""

    summary: str = ""
    """The body of the ping."""
    is_trouble: bool = False
    """Whether nobody else could be told of what is wrong: then the watcher outside should sound the alarm."""


@asynccontextmanager
async def watched_from_outside(
    settings: MonitoringSettings, run_id: UUID | None = None
) -> AsyncGenerator[OutsideWatch]:
    """Ping the configured address (Healthchecks protocol) at the start, and at the end with success or failure.

    It fails if the block raises or has noted trouble. A ping that does not arrive is logged, and disturbs nothing.
    """
    watch = OutsideWatch()
    await _ping(settings, "/start", "", run_id)
    try:
        yield watch
    except BaseException as error:
        await _ping(settings, "/fail", f"The status flow failed: {type(error).__name__}", run_id)
        raise
    await _ping(settings, "/fail" if watch.is_trouble else "", watch.summary, run_id)


async def _ping(settings: MonitoringSettings, path: str, body: str, run_id: UUID | None) -> None:
    if settings.ping_url is None:
        return
    # The address may carry a query, and is a secret as a whole.
    address = httpx.URL(settings.ping_url.get_secret_value())
    address = address.copy_with(path=address.path.rstrip("/") + path)
    if run_id is not None:
        address = address.copy_merge_params({"rid": str(run_id)})
    try:
        async with httpx.AsyncClient(timeout=PING_SECONDS) as client:
            response = await post(client, str(address), content=body.encode())
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        logger.warning("ping_refused", kind=path or "success", status=error.response.status_code)
    except (httpx.HTTPError, AnswerTooLong) as error:
        logger.warning("ping_failed", kind=path or "success", error_type=type(error).__name__)
