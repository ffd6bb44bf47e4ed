"""What `vibecheck up` shows, also while the server or the database is away."""

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, HTTPException
from pydantic import SecretStr
from rich.console import Console

from deployments.commands.live import show_jobs
from deployments.commands.processes import Children
from flows.database.engine import create_engine
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import ran, seed
from tests.support.fake_prefect import FakePrefect
from tests.support.served_prefect import serving

JOB = "poll"


def router_of(prefect: FakePrefect, on_look: Callable[[], None]) -> APIRouter:
    """What a look at the jobs asks; `on_look` is told of each, and may raise."""
    router = APIRouter()

    @router.post("/deployments/filter")
    def deployments() -> Any:
        on_look()
        return prefect.deployments

    @router.post("/flows/count")
    def clock() -> Any:
        return len(prefect.flows)

    @router.post("/flows/filter")
    def flows() -> Any:
        return [{"id": id_, "name": name} for id_, name in prefect.flows.items()]

    @router.post("/flow_runs/filter")
    def runs() -> Any:
        return []

    return router


@pytest.fixture(autouse=True)
def no_pause_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.commands.live.REFRESH_SECONDS", 0.01)


async def shown(
    folder: Path, database_url: str, answers: list[int], *, is_terminal: bool = False
) -> tuple[bool, list[str]]:
    """Show until the server has given all `answers` (status codes) and one good one more; the result and the lines."""
    prefect = FakePrefect()
    prefect.deploy(JOB)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    left = iter(answers)

    def on_look() -> None:
        status = next(left, None)
        if status is None:
            loop.call_soon_threadsafe(stop.set)
        elif status != 200:
            raise HTTPException(status)

    settings = Settings(_env_file=None, database_url=SecretStr(database_url))  # pyright: ignore[reportCallIssue]  # pydantic's
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=200)
    with serving(router_of(prefect, on_look)):
        async with asyncio.timeout(60):
            ended = await show_jobs(settings, Children(folder), console, stop)
    return ended, output.getvalue().splitlines()


async def test_a_server_that_answers_with_errors_is_said_once_an_outage_and_ends_nothing(
    tmp_path: Path, sqlite_url: str
) -> None:
    ended, lines = await shown(tmp_path, sqlite_url, [500, 500, 200, 500])
    assert not ended
    assert len(lines) == 2
    assert all(line.startswith("The Prefect server does not answer as it should") for line in lines)


async def test_on_a_terminal_the_table_is_back_when_the_server_is(tmp_path: Path, sqlite_url: str) -> None:
    ended, lines = await shown(tmp_path, sqlite_url, [500, 200], is_terminal=True)
    assert not ended
    text = "\n".join(lines)
    assert text.index("The Prefect server does not answer") < text.index("poll ")


@pytest.mark.parametrize("database", ["away", "never migrated"])
async def test_a_database_that_cannot_be_read_is_said_and_ends_nothing(tmp_path: Path, database: str) -> None:
    url = "postgresql+asyncpg://somebody:sentinel@127.0.0.1:9/none" if database == "away" else "sqlite+aiosqlite://"
    ended, lines = await shown(tmp_path, url, [200, 200])
    assert not ended
    assert len(lines) == 1
    assert lines[0].startswith("The database cannot be read")
    assert "sentinel" not in lines[0]


@pytest.mark.parametrize("is_terminal", [False, True])
async def test_what_a_run_says_is_shown_as_it_is(tmp_path: Path, sqlite_url: str, is_terminal: bool) -> None:
    engine = create_engine(sqlite_url)
    said = "404: no route [/v1/news/search]"
    await seed(engine, rows=[ran(JOB, datetime.now(UTC), "failure", error_message=said)])
    await engine.dispose()
    _, lines = await shown(tmp_path, sqlite_url, [200], is_terminal=is_terminal)
    assert any(said in line for line in lines)
