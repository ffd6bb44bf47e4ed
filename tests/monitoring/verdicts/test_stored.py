"""A change of verdict is made by exactly one of those who notice it, and kept until it was told."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.monitoring.tables import MonitoredJob
from flows.monitoring.verdicts.stored import (
    Transition,
    VerdictRow,
    change_verdict,
    mark_sent,
    note_notified,
    read_verdicts,
    set_bad_streaks,
    unsent_transitions,
)
from tests.polling.storage.rows import NOON, expect

OVERDUE = Transition(
    job_name="news",
    from_status="healthy",
    to_status="unhealthy",
    reason="overdue",
    at=NOON - timedelta(minutes=7),
    details={"interval": 900},
)


@pytest.fixture(autouse=True)
async def jobs(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await expect(connection, "news", "stories")


async def verdicts(database: AsyncEngine) -> dict[str, VerdictRow]:
    async with reading(database) as connection:
        return await read_verdicts(connection)


async def test_a_change_is_noted_with_the_time_at_which_it_happened(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        assert await change_verdict(connection, OVERDUE, from_reason=None)
        (noted,) = await unsent_transitions(connection, 10)
        now = await database_now(connection)

    assert noted.at == OVERDUE.at
    assert (noted.from_status, noted.to_status, noted.reason) == ("healthy", "unhealthy", "overdue")
    assert noted.details == {"interval": 900}
    assert timedelta(0) <= now - noted.noticed_at < timedelta(seconds=30)
    assert await verdicts(database) == {
        "news": VerdictRow(
            job_name="news",
            status="unhealthy",
            reason="overdue",
            status_since=OVERDUE.at,
            last_notified_at=None,
            bad_streak=0,
        ),
        "stories": VerdictRow(
            job_name="stories", status="healthy", reason=None, status_since=NOON, last_notified_at=None, bad_streak=0
        ),
    }


async def test_of_several_that_notice_a_change_one_makes_it(database: AsyncEngine) -> None:
    async def notice() -> bool:
        async with database.begin() as connection:
            return await change_verdict(connection, OVERDUE, from_reason=None)

    assert sorted(await asyncio.gather(*(notice() for _ in range(4)))) == [False, False, False, True]
    async with reading(database) as connection:
        assert len(await unsent_transitions(connection, 10)) == 1


async def test_a_change_from_a_verdict_that_no_longer_holds_is_refused(database: AsyncEngine) -> None:
    failing = replace(OVERDUE, from_status="unhealthy", reason="failing")
    async with database.begin() as connection:
        assert not await change_verdict(connection, failing, from_reason="overdue")
        assert not await change_verdict(connection, OVERDUE, from_reason="overdue")
        assert await change_verdict(connection, OVERDUE, from_reason=None)
        assert not await change_verdict(connection, failing, from_reason=None)
        assert not await change_verdict(connection, failing, from_reason="stuck")
        assert await change_verdict(connection, failing, from_reason="overdue")
        assert not await change_verdict(connection, replace(OVERDUE, job_name="nothing"), from_reason=None)


async def test_a_change_is_told_once_and_the_oldest_come_first(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await change_verdict(connection, OVERDUE, from_reason=None)
        await change_verdict(connection, replace(OVERDUE, job_name="stories"), from_reason=None)
        first, second = await unsent_transitions(connection, 10)
        assert [first.job_name, second.job_name] == ["news", "stories"]
        assert await unsent_transitions(connection, 1) == [first]

        await mark_sent(connection, [first.id])
        assert await unsent_transitions(connection, 10) == [second]


async def test_reminders_count_from_the_last_notice_and_keep_streaks(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        before = await database_now(connection)
        await note_notified(connection, ["news"])
        await set_bad_streaks(connection, {"news": 3})

    found = await verdicts(database)
    assert found["news"].bad_streak == 3
    assert found["news"].last_notified_at is not None
    assert found["news"].last_notified_at >= before
    assert (found["stories"].bad_streak, found["stories"].last_notified_at) == (0, None)


async def test_a_retired_job_is_no_longer_judged(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(update(MonitoredJob).where(MonitoredJob.job_name == "news").values(retired_at=NOON))
    assert list(await verdicts(database)) == ["stories"]
