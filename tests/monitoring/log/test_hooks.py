"""The hooks never fail their flow and never hold it up for long, whatever the database does."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import structlog
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State, StateType
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows import logs
from flows.database.engine import create_engine, reading
from flows.monitoring.log.hooks import monitored, record_end, record_running
from flows.monitoring.log.rows import LogRow, read_rows
from flows.settings import Settings
from tests.database.proxy import proxied
from tests.database.troubles import POSTGRESQL, Trouble, no_connection_is_left
from tests.monitoring.verdicts.seeding import expected, seed
from tests.support.fake_prefect import FakePrefect
from tests.support.ports import free_port

# What design section 6 promises: no flow waits longer than this for a hook.
PROMISED_SECONDS = 5.0
STARTED = datetime(2026, 11, 23, 12, 0, 3, tzinfo=UTC)


def job() -> None:
    """Any flow's body."""


FLOW = Flow(job, name="any_job")


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Events on stdout alone: nothing is sent to a Prefect server."""
    logs.attach_handlers(Settings(log_format="json"), to_prefect=False)


def run(run_count: int = 0, **changes: Any) -> FlowRun:
    due = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    return FlowRun.model_validate(
        {"flow_id": uuid4(), "run_count": run_count, "expected_start_time": due, **changes},
    )


async def call(
    flow_run: FlowRun, url: str, monkeypatch: pytest.MonkeyPatch, *, hook: Any = record_running, **state: Any
) -> None:
    """Call the hook as Prefect does, with a database address from the environment, and settings that it has not."""
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", url)
    monkeypatch.setenv("ASKNEWS_API_URL", "of no concern here")
    entered = State.model_validate({"type": StateType.RUNNING, "timestamp": STARTED, **state})
    async with asyncio.timeout(PROMISED_SECONDS + 1):  # its own work, and a loaded machine's second
        await hook(FLOW, flow_run, entered)


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was logged."""
    return [cast("dict[str, Any]", record.msg) for record in caplog.records if record.name == logs.LOGGER_NAME]


async def row_of(engine: AsyncEngine, flow_run: FlowRun) -> LogRow | None:
    async with reading(engine) as connection:
        return (await read_rows(connection, [flow_run.id])).get(flow_run.id)


async def test_a_starting_run_opens_its_row(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_run = run()
    await call(flow_run, database_url, monkeypatch)
    row = await row_of(database, flow_run)
    assert row is not None
    assert (row.job_name, row.status, row.attempt, row.started_at) == ("any_job", "running", 1, STARTED)


async def test_a_retry_counts_an_attempt_in_the_same_row(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_run = run()
    await call(flow_run, database_url, monkeypatch)
    await call(flow_run.model_copy(update={"run_count": 1}), database_url, monkeypatch)
    row = await row_of(database, flow_run)
    assert row is not None
    assert (row.status, row.attempt) == ("running", 2)


async def test_a_row_bears_the_name_of_its_job(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = expected("any_job/eu", STARTED)
    await seed(database, [job])
    flow_run = run(deployment_id=job.deployment_id)
    await call(flow_run, database_url, monkeypatch)
    row = await row_of(database, flow_run)
    assert row is not None
    assert row.job_name == "any_job/eu"


async def test_the_server_knows_the_name_of_a_new_job(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("any_job", name="eu")
    unreadable = prefect.deploy("any_job", name="us", schedules=None)
    monkeypatch.setattr("flows.monitoring.log.hooks.get_client", prefect.client)
    for deployment_id, name in ((deployment["id"], "any_job/eu"), (uuid4(), "any_job"), (unreadable["id"], "any_job")):
        flow_run = run(deployment_id=deployment_id)
        await call(flow_run, database_url, monkeypatch)
        row = await row_of(database, flow_run)
        assert row is not None
        assert row.job_name == name


async def test_while_a_flow_works_the_hooks_hold_no_connection(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(postgresql_url, keep_connections=False)

    async def connections() -> int:
        async with reading(engine) as connection:
            asked = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'c%'"
            )
            return await connection.scalar(text(asked)) or 0

    await call(run(), postgresql_url, monkeypatch)
    async with asyncio.timeout(10):
        while await connections() > 1:
            pass  # the server takes a moment to end one


def emitted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The events that would have been sent."""
    sent: list[Any] = []

    def emit(**event: Any) -> None:
        sent.append(event)

    monkeypatch.setattr("flows.monitoring.log.hooks.emit_event", emit)
    return sent


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("not in words")


ENDLESS: dict[str, Any] = {"fetched": 1}
ENDLESS["itself"] = ENDLESS


@pytest.mark.parametrize(
    ("returned", "kept"),
    [
        ({"fetched": 5, "pages": {str(number): "x" * 50 for number in range(100_000)}}, {"fetched": 5, "left_out": 1}),
        (ENDLESS, {}),
        ({"frame": Unprintable()}, {}),
        (["a", "list"], {}),
        ({"reason": {"not": "a text"}, "claims": {"flow": "failure"}}, {"reason": {"not": "a text"}}),
    ],
)
async def test_a_row_keeps_of_what_a_flow_returned_what_it_can(
    database: AsyncEngine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    returned: Any,
    kept: dict[str, Any],
) -> None:
    sent = emitted(monkeypatch)
    flow_run = run(run_count=1, start_time=STARTED)
    await call(flow_run, database_url, monkeypatch, hook=record_end, type=StateType.COMPLETED, data=returned)
    row = await row_of(database, flow_run)
    assert row is not None
    assert row.status == "success"
    assert {name: value for name, value in row.details.items() if name != "claims"} == kept
    assert sent


async def test_a_long_error_is_as_short_in_the_event_as_in_the_row(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = emitted(monkeypatch)
    await call(run(1), sqlite_url, monkeypatch, hook=record_end, type=StateType.FAILED, message="x" * 5_000_000)
    assert len(sent[0]["payload"]["error"]) == 8_000


async def test_a_database_that_refuses_is_logged_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await call(run(), f"postgresql+asyncpg://user:secret-word@127.0.0.1:{free_port()}/x", monkeypatch)
    (event,) = said(caplog)
    assert event["event"] == "execution_log_write_failed"
    assert "secret-word" not in str(event)


async def test_a_database_that_hangs_is_given_up_in_time(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied(postgresql_url) as (proxy, url):
        proxy.hang()
        await call(run(), url, monkeypatch)


async def test_a_database_that_resets_the_connection_is_no_error(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxied(postgresql_url) as (proxy, url):
        proxy.hang()
        asyncio.get_running_loop().call_later(0.5, proxy.cut)
        await call(run(), url, monkeypatch)


@pytest.mark.parametrize("trouble", POSTGRESQL)
async def test_a_database_in_trouble_costs_a_run_nothing(
    trouble: Trouble, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A table that stays locked is given up by the hook itself, before the database's own limit.
    monkeypatch.setattr("flows.monitoring.log.hooks.HOOK_SECONDS", 0.3)
    async with trouble(postgresql_url):
        await call(run(), postgresql_url, monkeypatch)
    assert [event["event"] for event in said(caplog) if event["level"] == "warning"] == ["execution_log_write_failed"]


async def test_a_hook_that_gets_no_connection_says_so(
    own_postgresql_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_connection_is_left(own_postgresql_url):
        await call(run(), own_postgresql_url, monkeypatch)
    (warning,) = (event for event in said(caplog) if event["level"] == "warning")
    assert "too many clients already" in warning["error"]


async def test_a_database_without_the_table_is_no_error(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call(run(), empty_database_url, monkeypatch)


def test_monitored_hooks_every_start_and_end_of_a_run() -> None:
    flow = monitored(Flow(job, name="another_job"))
    for hooks in (
        flow.on_running_hooks,
        flow.on_completion_hooks,
        flow.on_failure_hooks,
        flow.on_crashed_hooks,
        flow.on_cancellation_hooks,
    ):
        assert len(hooks) == 1


async def test_without_a_database_the_hook_says_so_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VIBECHECK_DATA_DIRECTORY", str(tmp_path / "data"))
    await call(run(), "", monkeypatch)
    (warning,) = said(caplog)
    assert (warning["event"], warning["level"]) == ("execution_log_not_configured", "warning")
    assert "VIBECHECK_DATABASE_URL" in warning["explanation"]
    assert not (tmp_path / "data").exists()


async def test_a_flow_that_another_one_calls_is_no_run_of_the_job(
    database: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = emitted(monkeypatch)
    called = run(parent_task_run_id=uuid4())
    await call(called, database_url, monkeypatch)
    await call(called, database_url, monkeypatch, hook=record_end, type=StateType.COMPLETED)
    assert await row_of(database, called) is None
    assert not sent


async def test_a_hook_leaves_the_flows_own_logging_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[structlog.typing.EventDict] = []

    def kept(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        events.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[kept])
    httpx_level, task_filters = logging.getLogger("httpx").level, logging.getLogger("prefect.task_runs").filters[:]
    await call(run(), "", monkeypatch)
    structlog.get_logger().info("of the flow")
    assert [event["event"] for event in events] == ["of the flow"]
    assert logging.getLogger("httpx").level == httpx_level
    assert logging.getLogger("prefect.task_runs").filters == task_filters
