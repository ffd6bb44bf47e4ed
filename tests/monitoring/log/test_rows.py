"""The execution log's questions and answers, and what they cost when the log is old."""

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.log.rows import (
    LogRow,
    delete_older_than,
    insert_row,
    latest_run_of_each_job,
    latest_runs,
    latest_success,
    lock_row,
    open_rows,
    read_rows,
    rows_between,
    rows_worth_keeping,
    update_row,
)
from tests.polling.storage.rows import NOON, expect, id_of, row


async def fill(database: AsyncEngine, *rows: LogRow) -> None:
    async with database.begin() as connection:
        for each in rows:
            assert await insert_row(connection, each)


async def test_a_row_comes_back_as_it_was_written(database: AsyncEngine) -> None:
    given = row(error_message="no\x00ne", details={"claims": {"flow": "success"}, "n": [1, 2.5, None]})
    async with database.begin() as connection:
        assert await insert_row(connection, given)
        assert await lock_row(connection, given.execution_id) == replace(given, error_message="none")
        assert await lock_row(connection, id_of(0)) is None
        assert await read_rows(connection, [given.execution_id, id_of(0)]) == {
            given.execution_id: replace(given, error_message="none")
        }


async def test_an_execution_has_one_row(database: AsyncEngine) -> None:
    first = row()
    async with database.begin() as connection:
        assert await insert_row(connection, first)
        assert not await insert_row(connection, replace(first, status="failure"))
        assert (await latest_runs(connection, "news", 5)) == [first]
        await update_row(connection, replace(first, status="failure"))
        assert (await latest_runs(connection, "news", 5)) == [replace(first, status="failure")]


async def test_the_log_reads_as_its_users_know_it(database: AsyncEngine) -> None:
    await fill(database, row())
    async with reading(database) as connection:
        found = await connection.execute(
            text(
                "SELECT id, execution_id, job_name, status, started_at, completed_at, duration_seconds, error_message,"
                " metadata, created_at FROM scheduler_execution_log"
            )
        )
        assert len(found.all()) == 1


async def test_the_latest_runs_are_the_jobs_rows_newest_first(database: AsyncEngine) -> None:
    rows = [row(minute=minute) for minute in (3, 1, 2)]
    await fill(database, *rows, row("stories", minute=9))
    async with reading(database) as connection:
        assert await latest_runs(connection, "news", 2) == [rows[0], rows[2]]
        assert await latest_runs(connection, "nothing", 2) == []


async def test_of_rows_with_one_start_the_later_written_is_newest(database: AsyncEngine) -> None:
    rows = [row() for _ in range(3)]
    await fill(database, *rows)
    async with reading(database) as connection:
        assert await latest_runs(connection, "news", 3) == rows[::-1]
        assert await latest_success(connection, "news") == rows[2]


async def test_ticks_that_did_no_work_can_be_left_out(database: AsyncEngine) -> None:
    statuses = ["success", "partial_failure", "failure", "running", "skipped", "cancelled", "missed"]
    await fill(database, *(row(minute=minute, status=status) for minute, status in enumerate(statuses)))
    async with reading(database) as connection:
        ran = await latest_runs(connection, "news", 9, only_ran=True)
        assert [each.status for each in ran] == ["running", "failure", "partial_failure", "success"]
        assert len(await latest_runs(connection, "news", 9)) == 7


async def test_the_latest_success_is_a_whole_success_of_that_job(database: AsyncEngine) -> None:
    success = row(minute=1)
    await fill(database, row(minute=0), success, row(minute=2, status="partial_failure"), row("stories", minute=3))
    async with reading(database) as connection:
        assert await latest_success(connection, "news") == success
        assert await latest_success(connection, "nothing") is None


async def test_each_expected_job_has_its_latest_run_or_none(database: AsyncEngine) -> None:
    newest = row(minute=2, status="failure")
    await fill(database, row(minute=1), newest, row(minute=3, status="skipped"), row("unexpected"))
    async with database.begin() as connection:
        await expect(connection, "news", "never_ran")
        assert await latest_run_of_each_job(connection) == {"news": newest, "never_ran": None}


async def test_open_rows_are_running_ones_that_started_before_a_time(database: AsyncEngine) -> None:
    old, older = row(minute=2, status="running"), row("stories", minute=1, status="running")
    await fill(database, old, older, row(minute=5, status="running"), row(minute=0))
    async with reading(database) as connection:
        assert await open_rows(connection, NOON + timedelta(minutes=5)) == [older, old]


async def test_rows_between_times_include_the_first_not_the_second(database: AsyncEngine) -> None:
    rows = [row(minute=minute) for minute in range(4)]
    await fill(database, *rows, row("stories", minute=1))
    async with reading(database) as connection:
        found = await rows_between(connection, ["news"], NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
        assert found == rows[1:3]


async def delete_all(database: AsyncEngine, before: datetime, limit: int = 500) -> int:
    total = 0
    while True:
        async with database.begin() as connection:
            kept = await rows_worth_keeping(connection)
            deleted = await delete_older_than(connection, before, kept, limit=limit)
        assert deleted <= limit
        if deleted == 0:
            return total
        total += deleted


async def test_old_rows_are_deleted_but_the_newest_and_the_open_stay(database: AsyncEngine) -> None:
    success = row(minute=3)
    newest = row(minute=5, status="failure")
    opened = row(minute=0, status="running")
    lonely = row("retired", minute=-5, status="missed")
    old = [row(minute=minute) for minute in (1, 2)] + [row(minute=4, status="failure"), row("stories", minute=1)]
    young = row("stories", minute=60)
    await fill(database, success, newest, opened, lonely, *old, young)

    assert await delete_all(database, NOON + timedelta(minutes=30), limit=2) == 4

    async with reading(database) as connection:
        left = [each for name in ("news", "stories", "retired") for each in await latest_runs(connection, name, 9)]
    assert left == [newest, success, opened, young, lonely]


async def test_retention_deletes_the_oldest_first(database: AsyncEngine) -> None:
    rows = [row(minute=minute) for minute in (3, 1, 2, 4)]
    await fill(database, *rows)
    async with database.begin() as connection:
        assert await delete_older_than(connection, NOON + timedelta(hours=1), (), limit=1) == 1
        assert await latest_runs(connection, "news", 9) == [rows[3], rows[0], rows[2]]


async def test_a_reader_finds_the_newest_row_during_retention(database: AsyncEngine) -> None:
    await fill(database, *(row(minute=minute, status=random.choice(["success", "failure"])) for minute in range(60)))  # noqa: S311  # no secret
    await fill(database, row(minute=61, status="success"), row(minute=62, status="failure"))
    done = asyncio.Event()
    reads = 0

    async def read() -> None:
        nonlocal reads
        while not done.is_set():
            async with reading(database) as connection:
                success = await latest_success(connection, "news")
                newest = await latest_runs(connection, "news", 1)
            assert success is not None
            assert [each.started_at for each in newest] == [NOON + timedelta(minutes=62)]
            reads += 1

    reader = asyncio.create_task(read())
    deleted = await delete_all(database, NOON + timedelta(days=1), limit=3)
    done.set()
    await reader

    assert deleted == 60
    assert reads > 0
