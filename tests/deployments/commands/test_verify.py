"""`vibecheck verify`: what it takes for a time, what it prints, and when it cannot tell."""

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr
from rich.console import Console

from deployments.__main__ import app
from deployments.commands.verify import print_line, run_verify, timeline
from deployments.failures import CommandFailed
from deployments.parameters import moment
from flows.monitoring.verify.accounts import Account, JobAccount
from flows.monitoring.verify.verification import Verification
from flows.settings import Settings

START = datetime(2026, 11, 23, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90m", START - timedelta(minutes=90)),
        ("1d12h", START - timedelta(days=1, hours=12)),
        ("2026-11-23T10:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00+02:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_times_may_be_given_as_durations_or_in_iso_form(text: str, meant: datetime) -> None:
    _, given, _ = app.parse_args(["verify", "--since", text])
    assert moment(given.arguments["since"], START) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "24", "h", "-3h", "P1D"])
def test_a_time_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        app.parse_args(["verify", "--since", text])


@pytest.mark.parametrize("given", [timedelta(days=9_999_999), datetime.fromisoformat("0001-01-01T00:00+14:00")])
def test_a_time_that_no_calendar_has_is_refused(given: timedelta | datetime) -> None:
    with pytest.raises(CommandFailed, match="further away than the calendar goes"):
        moment(given, START)


def test_times_are_read_and_told_in_the_configured_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment(datetime(2026, 11, 23, 15), START.astimezone(berlin)) == START  # noqa: DTZ001  # as it is typed
    account = Account(START, "success", problem="odd")
    text = "\n".join(timeline(Verification(START, START, (JobAccount("poll", (account,)),)), berlin))
    assert "Ticks from 2026-11-23 15:00:00 to 2026-11-23 15:00:00 CET" in text
    assert "  15:00:00 CET  " in text
    assert "poll 2026-11-23T15:00:00+01:00: odd" in text


def test_a_terminal_gets_whole_words_in_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=40, force_terminal=True, color_system=None)
    print_line(console, "  11-28 03:00:00  1  [red]unaccounted[/]  there is no row in the log for it")
    assert capsys.readouterr().out.splitlines() == [
        "  11-28 03:00:00  1  unaccounted",
        "    there is no row in the log for it",
    ]


@pytest.fixture
def no_server_needed() -> Generator[None]:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield


async def run(database_url: str, *, as_json: bool = False) -> int:
    settings = Settings(database_url=SecretStr(database_url))  # pyright: ignore[reportCallIssue]  # the rest has defaults
    return await run_verify(settings=settings, as_json=as_json)


@pytest.mark.usefixtures("no_server_needed")
async def test_with_a_database_away_or_empty_nobody_can_tell(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"^The database cannot be reached") as away:
        await run("postgresql+asyncpg://somebody:secret@127.0.0.1:9/none")
    assert "secret" not in str(away.value)
    with pytest.raises(CommandFailed, match=r"empty\.db has no tables") as empty:
        await run(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    assert away.value.exit_code == empty.value.exit_code == 2


async def test_without_a_servers_address_nobody_can_tell(capsys: pytest.CaptureFixture[str], sqlite_url: str) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert await run(sqlite_url, as_json=True) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is None
    assert "PREFECT_API_URL is not set" in document["error"]
