"""The old scheduler's log moves over completely, once, and without touching what the pipeline has logged itself."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.import_log import (
    IMPORTED,
    KNOWN,
    STILL_RUNNING,
    TAKEN_OVER,
    UNKNOWN_STATUS,
    import_log,
    run_import,
)
from deployments.failures import CommandFailed, failing_in_words
from flows.database.engine import create_engine, reading
from flows.monitoring.jobs.registry import StoredJob, write_jobs
from flows.monitoring.log.rows import LogRow, latest_runs, read_rows
from flows.settings import Settings

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
COLUMNS = """
    id INTEGER PRIMARY KEY, execution_id {uuid}, job_name TEXT, status TEXT, started_at {time}, completed_at {time},
    duration_seconds FLOAT, error_message TEXT, metadata {json}, created_at {time}
"""


class OldLog:
    """The old service's table, filled by a test."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.count = 0

    async def create(self) -> None:
        types = (
            {"uuid": "UUID", "time": "TIMESTAMPTZ", "json": "JSONB"}
            if self.engine.dialect.name == "postgresql"
            else {"uuid": "TEXT", "time": "TEXT", "json": "TEXT"}
        )
        async with self.engine.begin() as connection:
            await connection.execute(text(f"CREATE TABLE scheduler_execution_log ({COLUMNS.format(**types)})"))

    async def add(
        self, status: str, *, started: timedelta, seconds: float | None = 2.5, error: str | None = None
    ) -> UUID:
        self.count += 1
        execution_id, started_at = uuid4(), NOW - started
        completed_at = None if seconds is None else started_at + timedelta(seconds=seconds)
        values = {
            "id": self.count,
            "execution_id": execution_id,
            "started_at": started_at,
            "completed_at": completed_at,
            "seconds": seconds,
            "status": status,
            "error": error,
            "metadata": '{"fetched": 7}',
        }
        if self.engine.dialect.name == "sqlite":
            values |= {
                "execution_id": str(execution_id),
                "started_at": f"{started_at:%Y-%m-%d %H:%M:%S.%f}",
                "completed_at": completed_at and f"{completed_at:%Y-%m-%d %H:%M:%S.%f}",
            }
        statement = text(
            "INSERT INTO scheduler_execution_log VALUES (:id, :execution_id, 'poll_news', :status, :started_at, "
            ":completed_at, :seconds, :error, :metadata, :started_at)"
        )
        async with self.engine.begin() as connection:
            await connection.execute(statement, values)
        return execution_id


@pytest.fixture
async def old(empty_database_url: str) -> AsyncGenerator[OldLog, None]:
    engine = create_engine(empty_database_url)
    log = OldLog(engine)
    await log.create()
    yield log
    await engine.dispose()


async def row_of(engine: AsyncEngine, execution_id: UUID) -> LogRow:
    async with reading(engine) as connection:
        return (await read_rows(connection, [execution_id]))[execution_id]


async def take_over(engine: AsyncEngine, at: datetime) -> None:
    job = StoredJob(
        "poll_news", None, 900.0, [], since=at, paused=False, retired_at=None, next_run_at=None, planned_runs=0
    )
    async with engine.begin() as connection:
        await write_jobs(connection, [job])


async def test_a_row_arrives_with_everything_that_it_said(old: OldLog, database: AsyncEngine) -> None:
    failed = await old.add("failed", started=timedelta(days=3), error="AskNews said no")

    assert await import_log(old.engine, database, now=NOW) == {IMPORTED: 1}

    row = await row_of(database, failed)
    assert (row.job_name, row.status, row.error_message) == ("poll_news", "failure", "AskNews said no")
    assert row.started_at == NOW - timedelta(days=3)
    assert row.duration_seconds == 2.5
    assert row.details["fetched"] == 7


async def test_importing_again_changes_nothing(old: OldLog, database: AsyncEngine) -> None:
    for hours in range(1, 4):
        await old.add("success", started=timedelta(hours=hours))

    first = await import_log(old.engine, database, now=NOW)
    again = await import_log(old.engine, database, now=NOW)

    assert (first, again) == ({IMPORTED: 3}, {KNOWN: 3})
    async with reading(database) as connection:
        assert len(await latest_runs(connection, "poll_news", limit=10)) == 3


async def test_rows_from_after_the_pipeline_took_over_stay_out(old: OldLog, database: AsyncEngine) -> None:
    await old.add("success", started=timedelta(hours=1))
    before = await old.add("success", started=timedelta(hours=3))
    await take_over(database, NOW - timedelta(hours=2))

    assert await import_log(old.engine, database, now=NOW) == {IMPORTED: 1, TAKEN_OVER: 1}
    async with reading(database) as connection:
        (row,) = await latest_runs(connection, "poll_news", limit=10)
    assert row.execution_id == before


async def test_an_open_row_waits_for_its_end_and_fails_after_a_day(old: OldLog, database: AsyncEngine) -> None:
    await old.add("running", started=timedelta(minutes=5), seconds=None)
    died = await old.add("running", started=timedelta(days=2), seconds=None)

    assert await import_log(old.engine, database, now=NOW) == {IMPORTED: 1, STILL_RUNNING: 1}

    row = await row_of(database, died)
    assert row.status == "failure"
    assert row.error_message is not None
    assert "never closed" in row.error_message


async def test_a_status_that_nobody_knows_is_reported_and_left_out(
    old: OldLog, database: AsyncEngine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await old.add("exploded", started=timedelta(hours=1))

    assert await import_log(old.engine, database, now=NOW) == {UNKNOWN_STATUS: 1}

    settings = Settings(_env_file=None, database_url=database_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's
    source = old.engine.url.render_as_string(hide_password=False)
    assert await run_import(settings=settings, source_url=source) == 1
    assert "1  of unknown status" in capsys.readouterr().out


async def test_more_rows_than_one_batch_all_arrive(
    old: OldLog, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.commands.import_log.BATCH", 2)
    for hours in range(1, 6):
        await old.add("success", started=timedelta(hours=hours))

    assert await import_log(old.engine, database, now=NOW) == {IMPORTED: 5}


async def test_a_database_without_the_table_is_named_as_the_reason(empty_database_url: str, sqlite_url: str) -> None:
    settings = Settings(_env_file=None, database_url=sqlite_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's

    with pytest.raises(CommandFailed, match=r"^The old log cannot be read \(--from, OLD_DATABASE_URL\): "):
        await run_import(settings=settings, source_url=empty_database_url)


async def test_an_old_address_that_its_driver_does_not_take_is_told(sqlite_url: str) -> None:
    settings = Settings(_env_file=None, database_url=sqlite_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's
    old = "postgresql+asyncpg://u:sentinel@127.0.0.1:9/old?sslmode=require"
    with pytest.raises(CommandFailed, match=r"cannot be read \(--from.*an argument that.* 'sslmode'") as failed:
        await run_import(settings=settings, source_url=old)
    assert "sentinel" not in str(failed.value)


async def test_a_row_of_unreadable_time_is_reported_and_others_arrive(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = OldLog(create_engine(f"sqlite+aiosqlite:///{tmp_path / 'old.db'}"))
    await old.create()
    await old.add("success", started=timedelta(hours=2))
    await old.add("success", started=timedelta(hours=1))
    async with old.engine.begin() as connection:
        await connection.execute(
            text("UPDATE scheduler_execution_log SET started_at = 'yesterday', created_at = NULL WHERE id = 1")
        )
    settings = Settings(_env_file=None, database_url=database_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's

    assert await run_import(settings=settings, source_url=old.engine.url.render_as_string()) == 1

    output = capsys.readouterr().out
    assert "1  imported" in output
    assert "1  of a time that cannot be read" in output
    await old.engine.dispose()


async def test_a_pipeline_that_was_never_migrated_is_the_named_reason(old: OldLog, empty_database_url: str) -> None:
    settings = Settings(_env_file=None, database_url=empty_database_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's

    with pytest.raises(CommandFailed, match=r"^The pipeline's database .*`vibecheck apply`"), failing_in_words():
        await run_import(settings=settings, source_url=old.engine.url.render_as_string(hide_password=False))
