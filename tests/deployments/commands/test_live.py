"""What `vibecheck up` shows, also while the database is away."""

import asyncio
import io
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console

from deployments.commands import live
from deployments.commands.restarts import Restart, Restarts
from deployments.commands.startup import Started
from deployments.commands.status import CannotTell, Seen
from flows.database.engine import create_engine
from flows.monitoring.verdicts.report import Report
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import expected, ran, seed

JOB = "poll"
AWAY = "postgresql+asyncpg://somebody:sentinel@127.0.0.1:9/none"


async def shown(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    looks: int = 2,
    is_terminal: bool = False,
    before: Report | None = None,
    restarts: Restarts | None = None,
) -> list[str]:
    """Show until the database was looked at `looks` times, and return the lines."""
    stop, real, left = asyncio.Event(), live.look, looks

    async def counted(*arguments: object) -> Seen | CannotTell:
        nonlocal left
        left -= 1
        if not left:
            stop.set()
        return await real(*arguments)  # pyright: ignore[reportArgumentType]  # as they came

    monkeypatch.setattr(live, "look", counted)
    monkeypatch.setattr(live, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.01)
    settings = Settings(_env_file=None, database_url=SecretStr(database_url))  # pyright: ignore[reportCallIssue]  # pydantic's
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=200)
    async with asyncio.timeout(60):
        await live.show_jobs(Started(settings, before), restarts or Restarts(), console, stop)
    return output.getvalue().splitlines()


@pytest.mark.parametrize("url", [AWAY, "sqlite+aiosqlite://"], ids=["away", "never migrated"])
async def test_an_unreadable_database_is_said_once_and_ends_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(await shown(url, monkeypatch, looks=3))
    assert text.count("Cannot tell: ") == 1
    assert "sentinel" not in text


@pytest.mark.parametrize("is_terminal", [False, True])
async def test_what_a_run_says_is_shown_as_it_is(
    is_terminal: bool, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(sqlite_url)
    said = "404: no route [/v1/news/search]"
    await seed(engine, [expected(JOB, datetime.now(UTC))], [ran(JOB, datetime.now(UTC), "failure", error_message=said)])
    await engine.dispose()
    lines = await shown(sqlite_url, monkeypatch, is_terminal=is_terminal)
    assert any(said in line for line in lines)


async def test_without_a_terminal_each_change_is_one_line(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, now = create_engine(sqlite_url), datetime.now(UTC)
    await seed(engine, [expected(JOB, now)], [ran(JOB, now, details={"fetched": 3, "inserted": 2, "updated": 1})])
    await engine.dispose()
    (line,) = await shown(sqlite_url, monkeypatch, looks=4)
    # With its date, once the next day has come.
    date = rf"({now.day} {now:%b} ({now.year} )?)?"
    assert re.fullmatch(rf"{date}{now:%H:%M:%S} UTC  poll  success  3 fetched, 2 new, 1 updated", line)


async def test_a_job_of_ones_own_may_count_only_what_it_fetched(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, now = create_engine(sqlite_url), datetime.now(UTC)
    await seed(engine, [expected(JOB, now)], [ran(JOB, now, details={"fetched": 5})])
    await engine.dispose()
    (line,) = await shown(sqlite_url, monkeypatch)
    assert line.endswith("poll  success  5 fetched, 0 new, 0 updated")


async def test_a_file_that_is_restored_is_what_is_shown_from_then_on(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, backup, now = Path(sqlite_url.partition(":///")[2]), tmp_path / "backup.db", datetime.now(UTC)
    shutil.copy(file, backup)
    for path, what in ((file, "before"), (backup, "restored")):
        engine = create_engine(f"sqlite+aiosqlite:///{path}")
        await seed(engine, [expected(JOB, now)], [ran(JOB, now, "failure", error_message=what)])
        await engine.dispose()
    real = live.look

    async def look_and_restore(*arguments: object) -> Seen | CannotTell:
        seen = await real(*arguments)  # pyright: ignore[reportArgumentType]  # as they came
        if backup.exists():
            backup.replace(file)
        return seen

    monkeypatch.setattr(live, "look", look_and_restore)
    before, restored = await shown(sqlite_url, monkeypatch, looks=3)
    assert (before.split()[-1], restored.split()[-1]) == ("before", "restored")


async def test_what_happened_before_is_not_told_as_news(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, now = create_engine(sqlite_url), datetime.now(UTC)
    await seed(engine, [expected(JOB, now), expected("other", now)], [ran(JOB, now)])
    before = await live.look(engine, Settings())
    assert isinstance(before, Seen)
    await seed(engine, [], [ran("other", now)])
    await engine.dispose()
    (line,) = await shown(sqlite_url, monkeypatch, before=before.report)
    assert "other" in line


@pytest.mark.parametrize("is_terminal", [False, True])
async def test_a_process_that_is_started_again_is_told(
    is_terminal: bool, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, now, restarts = create_engine(sqlite_url), datetime.now(UTC), Restarts()
    await seed(engine, [expected(JOB, now)], [])
    await engine.dispose()
    restarts.latest["health"] = Restart(
        name="health", how_it_ended="was ended by SIGKILL", log=Path("health.log"), at=now, again_at=now
    )
    lines = await shown(sqlite_url, monkeypatch, looks=3, is_terminal=is_terminal, restarts=restarts)
    told = [line for line in lines if "health was ended by SIGKILL" in line]
    assert len(told) == 1 or is_terminal
    assert told
