"""`vibecheck silence` as its user sees it."""

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.silence import run_silence
from deployments.failures import CommandFailed
from flows.database.engine import create_engine
from flows.monitoring.alarms.silences import active_silences, end_acknowledgements
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import seed_healthy


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(sqlite_url)
    await seed_healthy(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def silence(sqlite_url: str) -> Any:
    async def run(*jobs: str, **options: Any) -> int:
        settings = Settings.model_validate({"database_url": sqlite_url})
        return await run_silence(list(jobs), settings=settings, **options)

    return run


async def silenced(engine: AsyncEngine) -> list[tuple[str, str]]:
    async with engine.begin() as connection:
        return [(row.job_name, row.reason) for row in await active_silences(connection)]


async def test_jobs_are_silenced_for_a_time_listed_and_lifted(
    silence: Any, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await silence("poll_news", duration=timedelta(hours=2), reason="moving house") == 0
    assert await silenced(engine) == [("poll_news", "moving house")]
    # No server is known here.
    assert "The Prefect server itself still does" in capsys.readouterr().out
    assert await silence() == 0
    assert capsys.readouterr().out.count("moving house") == 1
    assert await silence("poll_news", lift_it=True) == 0
    assert await silenced(engine) == []
    assert "Lifted: poll_news." in capsys.readouterr().out


async def test_a_silence_ends_by_itself(silence: Any, engine: AsyncEngine) -> None:
    await silence("poll_news", duration=timedelta(microseconds=1), reason="a moment")
    assert await silenced(engine) == []


@pytest.mark.parametrize(
    ("jobs", "options", "answer"),
    [
        (
            ["poll_newz"],
            {"duration": timedelta(hours=1), "reason": "x"},
            "No such job: poll_newz. Did you mean poll_news? The jobs are: pip",
        ),
        (["poll_news"], {"reason": "x"}, "--for 2h"),
        (["poll_news"], {"duration": timedelta(hours=1), "until_recovery": True, "reason": "x"}, "--for 2h"),
        (["poll_news"], {"duration": timedelta(hours=1)}, "--reason"),
        (["poll_news"], {"duration": timedelta(hours=-1), "reason": "x"}, "longer than nothing"),
        (["poll_news"], {"until_recovery": True, "reason": "x"}, "There is no outage"),
    ],
)
async def test_what_cannot_be_done_is_said(
    silence: Any, engine: AsyncEngine, jobs: list[str], options: dict[str, Any], answer: str
) -> None:
    with pytest.raises(CommandFailed, match=re.escape(answer)):
        await silence(*jobs, **options)
    assert await silenced(engine) == []


async def test_a_tag_is_never_looked_up_on_a_private_server(silence: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(CommandFailed, match="PREFECT_API_URL is not set"),
    ):
        await silence(tag="owner=data", duration=timedelta(hours=1), reason="x")


async def test_an_acknowledgement_ends_when_the_job_is_healthy(engine: AsyncEngine, silence: Any) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE monitored_jobs SET status = 'unhealthy' WHERE job_name = 'poll_news'")
    assert await silence("poll_news", until_recovery=True, reason="on it") == 0
    async with engine.begin() as connection:
        await end_acknowledgements(connection)
    assert await silenced(engine) == [("poll_news", "on it")]
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE monitored_jobs SET status = 'healthy' WHERE job_name = 'poll_news'")
        await end_acknowledgements(connection)
    assert await silenced(engine) == []
