"""Old rows go in small batches, and what a job last did stays."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.monitoring.log import retention
from flows.monitoring.log.retention import delete_old_rows
from flows.monitoring.log.rows import LogRow, insert_row, latest_runs, latest_success, rows_between
from tests.polling.storage.rows import row

JOB = "news"
DAY = timedelta(days=1)


async def days_ago(database: AsyncEngine, *ages: float, status: str = "success", job_name: str = JOB) -> datetime:
    """Write a row for each age. Return the database's time."""
    async with database.begin() as connection:
        now = await database_now(connection)
        for age in ages:
            at = now - age * DAY
            await insert_row(connection, row(job_name, status=status, started_at=at, scheduled_for=at))
    return now


async def ages(database: AsyncEngine, now: datetime, job_name: str = JOB) -> list[float]:
    async with reading(database) as connection:
        rows = await rows_between(connection, [job_name], now - 1000 * DAY, now + DAY)
    return [round((now - each.started_at) / DAY, 1) for each in rows]


async def test_only_rows_that_are_older_than_the_limit_are_deleted(database: AsyncEngine) -> None:
    now = await days_ago(database, 400, 181, 180.1, 179.9, 30, 0.1)
    assert await delete_old_rows(database, 180) == 3
    assert await ages(database, now) == [179.9, 30, 0.1]
    assert await delete_old_rows(database, 180) == 0


async def test_a_jobs_newest_row_newest_success_and_open_rows_stay(database: AsyncEngine) -> None:
    now = await days_ago(database, 400, 390)
    await days_ago(database, 385, 380, status="failure")
    await days_ago(database, 395, status="running")
    await days_ago(database, 300, job_name="retired")
    assert await delete_old_rows(database, 180) == 2
    assert await ages(database, now) == [395, 390, 380]
    assert await ages(database, now, "retired") == [300]


async def test_more_than_one_call_may_delete_waits_for_the_next(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "SECONDS", 0.0)
    await days_ago(database, *range(200, 208), 1)
    assert [await delete_old_rows(database, 180) for _ in range(4)] == [3, 3, 2, 0]


async def test_who_reads_meanwhile_always_finds_what_the_job_last_did(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    now = await days_ago(database, *range(200, 240))
    await days_ago(database, 190, status="failure")
    deleting = asyncio.create_task(delete_old_rows(database, 180))
    seen: list[tuple[LogRow, LogRow | None, int]] = []
    while not deleting.done():
        async with reading(database) as connection:
            (newest,) = await latest_runs(connection, JOB, 1)
            success = await latest_success(connection, JOB)
            rows = await rows_between(connection, [JOB], now - 1000 * DAY, now)
            seen.append((newest, success, len(rows)))
    assert deleting.result() == 39
    assert {newest.status for newest, _, _ in seen} == {"failure"}
    assert {success and success.status for _, success, _ in seen} == {"success"}
    assert len({count for _, _, count in seen}) > 2, "the reader never met the deletion at work"
