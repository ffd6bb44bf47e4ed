"""Changes of verdict on a real database: damped, stored once, at the time when they happened."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.logs import register_secret
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind
from flows.monitoring.alarms.notices import notice_of
from flows.monitoring.jobs.registry import retire_jobs
from flows.monitoring.jobs.workers import AbsentWorker
from flows.monitoring.log.rows import update_row
from flows.monitoring.verdicts.stored import (
    read_verdicts,
)
from tests.monitoring.verdicts.changing import NEWS, judge_times, known, once_healthy, once_overdue, told, turns
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, interval_schedule, ran, ran_every, seed


async def test_a_healthy_job_is_no_news(database: AsyncEngine) -> None:
    await once_healthy(database, MINUTE)
    await judge_times(database, 5)
    assert await turns(database) == []


async def test_a_secret_in_a_runs_error_reaches_nobody(database: AsyncEngine) -> None:
    register_secret("hunter2-of-a-run")
    now = await once_healthy(database, 60 * MINUTE)
    error = "x" * 300 + " no answer of https://user:hunter2-of-a-run@example.org"
    await seed(database, rows=[ran(NEWS, now - n * 15 * MINUTE, "failure", error_message=error) for n in range(3)])
    await judge_times(database, 2)
    (change,) = await told(database)
    assert change.reason == "failing"
    assert change.details["last_error"] == "x" * 300 + " no answer of https://user:[redacted]@example.org"


async def test_one_bad_judgement_is_no_news_and_two_are_one_change(database: AsyncEngine) -> None:
    await once_healthy(database, 40 * MINUTE)
    await judge_times(database, 1)
    assert await turns(database) == []
    await judge_times(database, 4)
    assert await turns(database) == [("healthy", "unhealthy", "overdue")]


async def test_a_bad_judgement_between_good_ones_is_forgotten(database: AsyncEngine) -> None:
    now = await once_healthy(database, 40 * MINUTE)
    await judge_times(database, 1)
    late = ran(NEWS, now - MINUTE)
    await seed(database, rows=[late])
    await judge_times(database, 1)
    async with database.begin() as connection:
        await update_row(connection, ran(NEWS, now - 39 * MINUTE, execution_id=late.execution_id))
    await judge_times(database, 1)
    assert await turns(database) == []
    await judge_times(database, 1)
    assert await turns(database) == [("healthy", "unhealthy", "overdue")]


async def test_a_change_carries_its_time_and_what_people_need(database: AsyncEngine) -> None:
    now = await once_healthy(database, 55 * MINUTE)
    await seed(database, rows=[ran(NEWS, now - 40 * MINUTE, "failure")])
    await judge_times(database, 2)
    (change,) = await told(database)
    assert change.at == now - 10 * MINUTE
    assert change.noticed_at >= now
    assert change.details["last_error"] == "It broke."
    assert "every 15 min" in change.details["explanation"]


async def test_a_job_that_never_ran_is_reported_from_its_bound_on(database: AsyncEngine) -> None:
    now = await clock(database)
    await seed(database, [expected(NEWS, now, since=now - 31 * MINUTE), expected("pipeline_status", now)])
    await judge_times(database, 2)
    (change,) = await told(database)
    assert (change.from_status, change.to_status, change.reason) == ("not_started", "unhealthy", "not_started")
    assert change.at == now - MINUTE


async def test_a_new_job_within_its_bound_is_no_news(database: AsyncEngine) -> None:
    now = await clock(database)
    await seed(database, [expected(NEWS, now, since=now - 29 * MINUTE), expected("pipeline_status", now)])
    await judge_times(database, 3)
    assert await turns(database) == []


async def test_a_job_fails_when_several_runs_in_a_row_did(database: AsyncEngine) -> None:
    now = await clock(database)
    failures = [ran(NEWS, now - 15 * number * MINUTE - MINUTE, "failure") for number in range(3)]
    await once_healthy(database, 46 * MINUTE, *failures)
    await judge_times(database, 2)
    assert await turns(database) == [("healthy", "unhealthy", "failing")]


async def test_recovery_is_told_once_with_the_outage_that_it_ended(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    await seed(database, rows=[ran(NEWS, now - 10 * MINUTE), ran(NEWS, now - MINUTE)])
    await judge_times(database, 3)
    (change,) = await told(database)
    assert (change.from_status, change.to_status, change.reason) == ("unhealthy", "healthy", None)
    assert change.at == now - 10 * MINUTE
    assert datetime.fromisoformat(change.details["outage_began"]) == now - 70 * MINUTE
    assert change.details["outage_reason"] == "overdue"


async def test_a_young_recovery_is_not_believed_yet(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    await seed(database, rows=[ran(NEWS, now - 4 * MINUTE)])
    await judge_times(database, 3)
    assert await turns(database) == []


async def test_another_reason_within_an_outage_belongs_to_it(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    failures = [ran(NEWS, now - number * 5 * MINUTE - 20 * MINUTE, "failure") for number in range(3)]
    await seed(database, rows=failures)
    await judge_times(database, 2)
    await seed(database, rows=[ran(NEWS, now - 8 * MINUTE)])
    await judge_times(database, 2)
    reasons = await told(database)
    assert [(row.from_status, row.to_status, row.reason) for row in reasons] == [
        ("unhealthy", "unhealthy", "failing"),
        ("unhealthy", "healthy", None),
    ]
    assert datetime.fromisoformat(reasons[1].details["outage_began"]) == now - 70 * MINUTE


async def test_of_two_that_judge_at_once_one_stores_the_change(database_url: str) -> None:
    engines = [create_engine(database_url) for _ in range(4)]
    await once_healthy(engines[0], 40 * MINUTE)
    await judge_times(engines[0], 1)
    await asyncio.gather(*(judge_times(engine, 3) for engine in engines))
    assert await turns(engines[0]) == [("healthy", "unhealthy", "overdue")]
    for engine in engines:
        await engine.dispose()


async def test_a_missing_worker_is_reported_once_before_it_is_overdue(database: AsyncEngine) -> None:
    now = await once_healthy(database, 5 * MINUTE)
    absent = {NEWS: AbsentWorker("vibecheck", now - 3 * MINUTE)}
    await judge_times(database, 1, absent)
    assert await turns(database) == []
    await judge_times(database, 2, absent)
    (change,) = await told(database)
    assert (change.to_status, change.reason, change.at) == ("unhealthy", "no_worker", now - 3 * MINUTE)
    assert change.details["work_pool_without_worker"] == "vibecheck"
    assert change.details["worker_absent_since"] == (now - 3 * MINUTE).isoformat()


async def test_a_job_that_fails_is_not_said_to_want_a_worker(database: AsyncEngine) -> None:
    now = await once_healthy(database, 70 * MINUTE)
    await seed(database, rows=ran_every(NEWS, now, 15, 4, status="failure"))
    await judge_times(database, 2, {NEWS: AbsentWorker("vibecheck", now - 3 * MINUTE)})
    (change,) = await told(database)
    assert (change.reason, change.details["work_pool_without_worker"]) == ("failing", None)


async def test_a_missing_worker_and_overdue_are_the_same_outage(database: AsyncEngine) -> None:
    now = await once_healthy(database, 40 * MINUTE)
    await known(database, NEWS, "unhealthy", "no_worker", at=now - 35 * MINUTE, since="healthy")
    await judge_times(database, 3, {NEWS: AbsentWorker("vibecheck", now - 35 * MINUTE)})
    assert await turns(database) == [("unhealthy", "unhealthy", "overdue")]


async def test_a_job_whose_worker_is_back_has_recovered(database: AsyncEngine) -> None:
    now = await once_healthy(database, 12 * MINUTE)
    await known(database, NEWS, "unhealthy", "no_worker", at=now - 10 * MINUTE, since="healthy")
    await judge_times(database, 1)
    (change,) = await told(database)
    assert change.to_status == "healthy"
    assert change.at >= now


async def test_a_job_that_runs_on_a_worker_again_has_recovered_at_once(database: AsyncEngine) -> None:
    now = await once_healthy(database, 12 * MINUTE)
    await known(database, NEWS, "unhealthy", "no_worker", at=now - 10 * MINUTE, since="healthy")
    await seed(database, rows=[ran(NEWS, now - MINUTE)])
    await judge_times(database, 1)
    (change,) = await told(database)
    assert (change.to_status, change.at) == ("healthy", now - MINUTE)


async def test_no_change_is_told_to_be_older_than_the_one_before_it(database: AsyncEngine) -> None:
    now = await clock(database)
    job = expected(NEWS, now, since=now - 31 * MINUTE)
    await seed(database, [job, expected("pipeline_status", now)])
    await judge_times(database, 2)
    await seed(database, [replace(job, interval_seconds=3600.0)])
    await judge_times(database, 1)
    alarm, change = await told(database)
    assert (change.from_status, change.to_status) == ("unhealthy", "not_started")
    assert change.at == alarm.at


async def test_a_paused_job_ends_its_outage_without_having_recovered(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    await seed(database, [expected(NEWS, now, paused=True)])
    await judge_times(database, 3, {NEWS: AbsentWorker("vibecheck", None)})
    assert await turns(database) == [("unhealthy", "paused", None)]


async def test_a_retired_job_ends_its_outage_once(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    async with database.begin() as connection:
        await retire_jobs(connection, [NEWS], now)
    await judge_times(database, 3)
    (change,) = await told(database)
    assert (change.to_status, change.details["retired"], change.details["outage_reason"]) == ("paused", True, "overdue")


async def test_a_job_that_can_do_nothing_is_a_change_of_its_own(database: AsyncEngine) -> None:
    off = {"feature": "off", "explanation": "The plan has no stories."}
    now = await once_healthy(database, 20 * MINUTE)
    await seed(database, rows=[ran(NEWS, now - 5 * MINUTE, details=off)])
    await judge_times(database, 3)
    await seed(database, rows=[ran(NEWS, now - MINUTE)])
    await judge_times(database, 3)
    assert await turns(database) == [("healthy", "healthy", "feature_off"), ("healthy", "healthy", None)]
    assert "The plan has no stories." in (await told(database))[0].details["remark"]


async def test_a_lost_schedule_is_told_once_and_so_is_its_end(database: AsyncEngine) -> None:
    now = await clock(database)

    async def judged(lost_for: timedelta) -> list[tuple[str, str, str | None]]:
        lost = None if lost_for == 0 * MINUTE else interval_schedule(30)
        job = expected(NEWS, now, since=now - lost_for, lost_schedules=lost)
        await seed(database, [job])
        await judge_times(database, 2)
        return await turns(database)

    await once_healthy(database, MINUTE)
    assert await judged(9 * MINUTE) == [], "who changes a schedule may delete it first"
    assert await judged(10 * MINUTE) == [("healthy", "healthy", "lost_schedule")]
    assert len(await judged(timedelta(days=6))) == 1
    assert (await judged(timedelta(days=7)))[1:] == [("healthy", "healthy", None)]
    lost, over = await told(database)
    assert "no longer has the schedule every 30 min, and kept others" in lost.details["remark"]
    assert abs(lost.at - (now - 10 * MINUTE)) < MINUTE, "when it was lost, not when that was told"
    notices = [notice_of([each], now, Links()) for each in (lost, over)]
    assert [notice and (notice.kind, notice.headline.partition(" at ")[0]) for notice in notices] == [
        (Kind.WARNING, "poll_news lost a schedule"),
        (Kind.RECOVERY, "poll_news has its schedules as they are meant"),
    ]
    assert len({notice and notice.incident for notice in notices}) == 1


async def test_a_retired_job_is_not_judged(database: AsyncEngine) -> None:
    now = await once_healthy(database, 40 * MINUTE)
    async with database.begin() as connection:
        await retire_jobs(connection, [NEWS], now)
    await judge_times(database, 3)
    assert await turns(database) == []


async def test_verdicts_that_do_not_change_are_not_written_again(database: AsyncEngine) -> None:
    await once_overdue(database)
    await judge_times(database, 1)
    async with reading(database) as connection:
        before = await read_verdicts(connection)
    await judge_times(database, 3)
    async with reading(database) as connection:
        assert (await read_verdicts(connection))[NEWS].status_since == before[NEWS].status_since
