"""What a polling run opens, and what it raises when that fails."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from sqlalchemy import text

from flows import logs
from flows.asknews import MissingCredentials
from flows.database.engine import create_engine
from flows.polling.run import polling_run
from flows.settings import load_settings
from tests.asknews.fakes import SENTINEL_KEY
from tests.polling.runs import JOB


@pytest.fixture(autouse=True)
def in_flow_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As within a flow run, but for Prefect's server, which is away."""
    for name in ("ASKNEWS_API_KEY", "ASKNEWS_CLIENT_ID", "ASKNEWS_CLIENT_SECRET", "VIBECHECK_ASKNEWS_SECRET_BLOCK"):
        monkeypatch.setenv(name, "")
    load_settings.cache_clear()
    logs.configure_logging(load_settings(), to_prefect=False)
    flow_run = FlowRun.model_validate({"flow_id": uuid4(), "run_count": 1, "expected_start_time": datetime.now(UTC)})
    with FlowRunContext.model_construct(flow_run=flow_run):
        yield
    load_settings.cache_clear()


async def test_what_is_wrong_is_said_though_prefect_may_retry(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", sqlite_url)
    with pytest.raises(MissingCredentials, match="ASKNEWS_API_KEY"):
        async with polling_run(JOB):
            raise AssertionError("nothing may be polled without a key")
    assert "retries_not_withdrawn" in caplog.text


async def test_a_run_tells_times_in_the_configured_zone(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("VIBECHECK_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("ASKNEWS_API_KEY", SENTINEL_KEY)
    load_settings.cache_clear()
    async with polling_run(JOB) as run:
        assert run.zone == ZoneInfo("Europe/Berlin")


async def test_a_run_goes_by_the_databases_clock_and_not_by_its_own(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(postgresql_url)
    async with engine.begin() as connection:
        # A clock that is found before the database's own: eight hours behind this machine's.
        for statement in (
            "CREATE SCHEMA behind",
            "CREATE FUNCTION behind.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS $$ SELECT pg_catalog.clock_timestamp() - interval '8 hours' $$",
            f"ALTER DATABASE {engine.url.database} SET search_path = behind, pg_catalog, public",
        ):
            await connection.execute(text(statement))
    await engine.dispose()
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", postgresql_url)
    monkeypatch.setenv("ASKNEWS_API_KEY", SENTINEL_KEY)
    load_settings.cache_clear()
    async with polling_run(JOB) as run:
        ahead = datetime.now(UTC) - run.now
    assert timedelta(hours=7, minutes=55) < ahead < timedelta(hours=8, minutes=5)
