"""What a log event holds, and what it never holds."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr

from flows import logs
from flows.settings import Settings

KEY = "ank_0123456789abcdef"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logging as a worker's flow process has it, on the standard output of this test."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    logger = logging.getLogger(logs.LOGGER_NAME)
    before = logger.propagate, logger.level
    monkeypatch.setattr(logs, "_secrets", set[str]())
    settings = Settings(
        asknews_api_key=SecretStr(KEY),
        database_url=SecretStr("postgresql+asyncpg://user:pass%40w/ord?1@127.0.0.1/x"),
        log_format="json",
    )
    # Without Prefect's handler: it would start a server of its own to send the events to.
    logs.configure_logging(settings, to_prefect=False)
    yield output
    logger.propagate, logger.level = before


def test_an_event_of_a_run_is_one_json_line_with_run_and_job(printed: io.StringIO) -> None:
    execution_id = uuid4()
    logs.bind_run(execution_id, "poll_news")
    structlog.stdlib.get_logger().info("page_stored", fetched=10)
    (line,) = printed.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "page_stored"
    assert event["execution_id"] == str(execution_id)
    assert event["job_name"] == "poll_news"
    assert event["fetched"] == 10
    assert event["level"] == "info"


@pytest.mark.parametrize("secret", [KEY, "pass%40w/ord?1", "pass@w/ord?1"])
def test_no_secret_of_the_settings_reaches_a_line(secret: str, printed: io.StringIO) -> None:
    logger = structlog.stdlib.get_logger()
    try:
        int(secret)
    except ValueError as error:
        logger.exception("failed", text=f"with {secret}", error=error, nested={"list": [secret, {secret: 1}]})
    assert secret not in printed.getvalue()
    assert logs.REDACTED in printed.getvalue()
    assert "ValueError" in printed.getvalue()


def test_a_secret_from_a_block_is_redacted_once_it_is_registered(printed: io.StringIO) -> None:
    logs.register_secret("from-a-block")
    structlog.stdlib.get_logger().info("event", value="from-a-block")
    assert "from-a-block" not in printed.getvalue()


def test_configuring_twice_prints_once(printed: io.StringIO) -> None:
    logs.configure_logging(Settings(log_format="json"), to_prefect=False)
    structlog.stdlib.get_logger().info("event")
    assert len(printed.getvalue().splitlines()) == 1


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize(("state", "is_logged"), [("Completed()", False), ("Failed('boom')", True)])
def test_a_task_that_went_well_has_no_line_of_prefects(state: str, is_logged: bool) -> None:
    line = logging.LogRecord("prefect.task_runs", logging.INFO, "", 0, "Finished in state %s", (state,), None)
    assert bool(logging.getLogger("prefect.task_runs").filter(line)) is is_logged
