"""What `vibecheck apply` waits for, and what it says when it cannot do its work."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from structlog.testing import capture_logs

from deployments.commands.apply import run_apply, verify_deployments
from deployments.commands.doctor.database import only_watches
from deployments.failures import CommandFailed, failing_in_words
from flows.database.engine import opened_engine
from flows.database.migrate import migrate
from flows.monitoring.alarms.receivers import InvalidReceiver
from flows.settings import Settings
from tests.support.fake_prefect import START, FakePrefect


async def test_without_an_active_schedule_no_planned_run_is_needed() -> None:
    prefect = FakePrefect()
    prefect.deploy("by_hand", every=None)
    prefect.deploy("switched_off", schedules=[prefect.schedule(timedelta(minutes=15)) | {"active": False}])
    prefect.deploy("paused", paused=True)
    prefect.deploy("planned")
    prefect.run("planned", START, "SCHEDULED", run_count=0)

    async with prefect.client() as client, asyncio.timeout(30):
        jobs = await verify_deployments(client)

    assert [(job.full_name, job.lacks_runs) for job in jobs] == [
        ("by_hand/scheduled", False),
        ("paused/scheduled", False),
        ("planned/scheduled", False),
        ("switched_off/scheduled", False),
    ]


async def test_a_schedule_for_which_no_run_is_ever_planned_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.commands.apply.PLANNING_SECONDS", 0.0)
    prefect = FakePrefect()
    prefect.deploy("forgotten")

    async with prefect.client() as client:
        with capture_logs() as events:
            (job,) = await verify_deployments(client)

    assert job.lacks_runs
    assert [event["deployment"] for event in events if event["event"] == "no_planned_runs"] == ["forgotten/scheduled"]


@pytest.mark.parametrize("rule", [{"cron": "0 6 1 5 *", "day_or": True}, {"rrule": "FREQ=DAILY;UNTIL=20261122T000000"}])
async def test_what_is_not_due_for_months_or_over_needs_no_planned_run(rule: dict[str, Any]) -> None:
    prefect = FakePrefect()
    prefect.deploy("rare", schedules=[prefect.schedule(timedelta(days=1)) | {"schedule": {"timezone": "UTC", **rule}}])

    async with prefect.client() as client, asyncio.timeout(30):
        (job,) = await verify_deployments(client)

    assert not job.lacks_runs
    assert job.next_run_at == (datetime(2027, 5, 1, 6, tzinfo=UTC) if "cron" in rule else None)


def test_a_wrong_receiver_is_said_before_anything_is_started(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_directory": tmp_path, "notification": "nonsense"})
    with pytest.raises(InvalidReceiver, match="VIBECHECK_NOTIFICATION must be"):
        asyncio.run(run_apply(settings=settings))
    assert list(tmp_path.iterdir()) == []


async def test_a_server_that_is_away_is_said_in_one_sentence(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_directory=tmp_path)  # pyright: ignore[reportCallIssue]  # pydantic's
    sentence = "The Prefect server at PREFECT_API_URL did not do it: ConnectError: All connection attempts failed"
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(CommandFailed, match=f"^{sentence}$"),
        failing_in_words(),
    ):
        await run_apply(settings=settings)


async def test_a_database_only_watches_until_told_otherwise(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_directory=tmp_path)  # pyright: ignore[reportCallIssue]  # pydantic's
    async with opened_engine(settings) as engine:
        await migrate(engine, watch_only=True)
    for said, stays in ((None, True), (False, False)):
        # The database comes first, and so is prepared also with the server away.
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), pytest.raises(httpx.ConnectError):
            await run_apply(watch_only=said, settings=settings)
        assert await only_watches(settings) is stays
