"""What a polling run opens, and what it raises when that fails."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import structlog
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows import logs
from flows.asknews import MissingCredentials
from flows.polling.run import polling_run
from flows.settings import load_settings
from tests.polling.runs import JOB


@pytest.fixture(autouse=True)
def in_flow_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As within a flow run, but for Prefect's server, which is away."""
    for name in ("ASKNEWS_API_KEY", "ASKNEWS_CLIENT_ID", "ASKNEWS_CLIENT_SECRET", "VIBECHECK_ASKNEWS_SECRET_BLOCK"):
        monkeypatch.setenv(name, "")
    load_settings.cache_clear()
    logger = logging.getLogger(logs.LOGGER_NAME)
    before = logger.handlers
    logger.handlers = []
    logs.configure_logging(load_settings(), to_prefect=False)
    flow_run = FlowRun.model_validate({"flow_id": uuid4(), "run_count": 1, "expected_start_time": datetime.now(UTC)})
    with FlowRunContext.model_construct(flow_run=flow_run):
        yield
    load_settings.cache_clear()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logger.handlers = before


async def test_what_is_wrong_is_said_also_when_prefect_cannot_be_told_not_to_retry(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", sqlite_url)
    with pytest.raises(MissingCredentials, match="ASKNEWS_API_KEY"):
        async with polling_run(JOB):
            raise AssertionError("nothing may be polled without a key")
    assert "retries_not_withdrawn" in caplog.text
