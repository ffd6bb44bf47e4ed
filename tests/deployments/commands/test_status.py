"""`vibecheck status` as its user sees it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.status import CannotTell, Seen, look, render
from flows.database.engine import create_engine, opened_engine, reading
from flows.monitoring.alarms.audience import read_audience
from flows.monitoring.alarms.refusals import note_deliveries
from flows.monitoring.alarms.silences import silence
from flows.monitoring.verdicts.report import read_report
from flows.settings import PROJECT_ROOT, Settings
from tests.monitoring.verdicts.seeding import MINUTE, budget, clock, expected, ran, ran_every, seed, seed_healthy

PASSWORD = "sentinel_5d0b_password"


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    """What is printed does not depend on the kind of database."""
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


def start(database_url: str, *options: str) -> subprocess.Popen[str]:
    """Start the command with this database."""
    return subprocess.Popen(
        [sys.executable, "-m", "deployments", "status", *options],
        cwd=PROJECT_ROOT,
        env={**os.environ, "VIBECHECK_DATABASE_URL": database_url, "COLUMNS": "160", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        # That others can read somebody's own .env is said there.
        stderr=subprocess.DEVNULL,
        text=True,
    )


def run(database_url: str, *options: str) -> tuple[int, str]:
    """The exit code and the output of the command."""
    process = start(database_url, *options)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


async def test_what_jobs_say_of_their_data_comes_first(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    await seed(engine, rows=[ran("poll_news", now, details={"data_note": "sandbox: made-up news"})])
    assert (await shown(engine)).startswith("sandbox: made-up news\n")


async def shown(engine: AsyncEngine) -> str:
    """What the command shows of this database."""
    async with reading(engine) as connection:
        return text_of(Seen(await read_report(connection, Settings()), await read_audience(connection)))


def text_of(seen: Seen | CannotTell, *, width: int = 160) -> str:
    """What the terminal shows, without colours."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(seen))
    return capture.get()


async def test_what_a_job_measures_and_its_budgets_end_are_shown(engine: AsyncEngine) -> None:
    now = await clock(engine)
    measure = {"name": "Lateness", "text": "None was late.", "warning": "But look."}
    details = {"budget": budget(1_250) | {"spent_by": "2026-09-20"}, "measures": [measure]}
    await seed(engine, [expected("poll_news", now)], [ran("poll_news", now - MINUTE, details=details)])
    told = await shown(engine)
    assert "1,250 of 20,000 since 2026-09-01. At the present rate, all is spent by 20 September 2026." in told
    assert "Lateness: None was late." in told
    assert "But look." in told


async def test_exit_code_0_when_all_is_healthy(database: AsyncEngine, database_url: str) -> None:
    await seed_healthy(database)
    exit_code, output = run(database_url)
    assert exit_code == 0, output
    assert "All 3 jobs are healthy." in output
    assert "Ran 1 min" in output


async def test_a_plan_without_stories_is_told_how_to_switch_them_off(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    off = {"feature": "off", "explanation": "AskNews answered 403: the plan has no stories."}
    await seed(engine, rows=[ran("poll_stories", now, details=off)])
    text = " ".join((await shown(engine)).split())
    assert "All 3 jobs are healthy. Nothing comes of poll_stories: see the warning." in text
    assert "Warning: It can do nothing: AskNews answered 403: the plan has no stories." in text
    assert "prefect deployment schedule pause 'poll_stories/scheduled' --all" in text


async def test_a_long_name_is_whole_at_80_columns(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    name = "warehouse_nightly_reconcile/eu"
    await seed(engine, [expected(name, now)], [ran(name, now - MINUTE)])
    async with reading(engine) as connection:
        seen = Seen(await read_report(connection, Settings()), await read_audience(connection))
    lines = text_of(seen, width=80).splitlines()
    (row,) = [line for line in lines if line.startswith(f"│ {name} │")]
    assert "healthy" in row
    assert max(map(len, lines)) <= 80


async def test_what_is_wrong_is_told_before_what_is_well(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    await seed(engine, [expected("zoo", now, every_minutes=60)], [ran("zoo", now - 180 * MINUTE)])
    order = [line.partition(":")[0] for line in (await shown(engine)).splitlines()]
    assert order.index("zoo") < order.index("poll_news")


async def test_exit_code_1_when_a_job_is_overdue(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("nightly", now, every_minutes=60)], [ran("nightly", now - 180 * MINUTE)])
    exit_code, output = run(database_url)
    assert exit_code == 1, output
    assert "1 of 4 jobs is not healthy: nightly (overdue)." in output
    assert "Overdue: the last run started 3 h ago, and one is expected every hour." in output


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_exit_code_2_without_password_for_an_absent_database(options: tuple[str, ...]) -> None:
    exit_code, output = run(f"postgresql+asyncpg://user:{PASSWORD}@127.0.0.1:1/none", *options)
    assert exit_code == 2, output
    assert "database cannot be reached" in output
    assert PASSWORD not in output


def test_exit_code_2_when_the_database_was_never_migrated(empty_database_url: str) -> None:
    exit_code, output = run(empty_database_url)
    assert exit_code == 2, output
    assert "vibecheck apply" in output


async def test_json_is_the_document_of_the_endpoint(engine: AsyncEngine, sqlite_url: str) -> None:
    await seed_healthy(engine)
    exit_code, output = run(sqlite_url, "--json")
    document = json.loads(output)
    assert exit_code == 0
    assert document["status"] == "healthy"
    assert set(document["jobs"]) == {"poll_news", "poll_stories", "pipeline_status"}
    assert document["jobs"]["poll_news"]["age_seconds"] > 0


async def test_who_cannot_be_told_and_what_is_silenced_is_said(engine: AsyncEngine, sqlite_url: str) -> None:
    now = await seed_healthy(engine)
    async with engine.begin() as connection:
        await silence(connection, ["poll_news"], until=None, reason="on it [red]")
        await note_deliveries(connection, {"default": "The receiver answered 403."}, ["default"], now)
    text = " ".join((await shown(engine)).split())
    assert "Alarms cannot be delivered to the receiver 'default' since" in text
    assert "Silenced until it has recovered: on it [red]" in text
    document = json.loads(run(sqlite_url, "--json")[1])
    assert document["jobs"]["poll_news"]["silenced"] == {"until": None, "reason": "on it [red]"}
    assert document["jobs"]["poll_stories"]["silenced"] is None
    (refusing,) = document["refusing"]
    assert (refusing["receiver"], refusing["error"]) == ("default", "The receiver answered 403.")


async def test_watching_goes_on_until_ctrl_c_and_ends_with_the_verdict(engine: AsyncEngine, sqlite_url: str) -> None:
    now = await seed_healthy(engine)
    process = start(sqlite_url, "--watch", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "healthy"
    await seed(engine, [expected("nightly", now, every_minutes=60)], [ran("nightly", now - 180 * MINUTE)])
    while json.loads(process.stdout.readline())["status"] == "healthy":
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1


async def test_errors_warnings_and_lateness_are_shown_as_text(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    await seed(
        engine,
        [
            expected("failing", now, next_run_at=now - 3 * MINUTE),
            expected("unplanned", now, planned_runs=0, next_run_at=None),
        ],
        [
            *ran_every("failing", now - 15 * MINUTE, 15, 3, status="failure", error_message="[red]broken[/red] 503"),
            ran("unplanned", now),
        ],
    )
    text = await shown(engine)
    assert "failing: last error, " in text
    assert "[red]broken[/red] 503" in text
    assert "Warning: Prefect's scheduler has planned no run of it" in text
    assert "due for 3 min" in text


def test_what_cannot_be_told_is_said() -> None:
    assert text_of(CannotTell("The database [is] away.")).strip() == "Cannot tell: The database [is] away."


async def test_where_nothing_has_run_yet_it_says_how_to_start(tmp_path: Path) -> None:
    fresh = Settings.model_validate({"data_directory": tmp_path})
    async with opened_engine(fresh) as engine:
        seen = await look(engine, fresh)
    assert "Nothing has run here yet" in text_of(seen)
    assert "`make up` starts everything" in text_of(seen)
