"""Ticks that have no run: which of them are called missed, and which are not."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.ticks import missed_id
from tests.monitoring.reconcile.rounds import JOB, SECOND, round_of, rows_of, write
from tests.support.fake_prefect import START, FakePrefect

QUARTER = timedelta(minutes=15)


async def test_a_tick_that_was_never_planned_is_missed_once(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.run(JOB, START + QUARTER)
    prefect.run(JOB, START + 3 * QUARTER, "SCHEDULED", run_count=0, name="Late")
    # A run that a person started at that very moment is not a run for the tick.
    prefect.run(JOB, START + 2 * QUARTER, auto_scheduled=False)
    prefect.now = START + 4 * QUARTER + 30 * SECOND

    assert (await round_of(prefect, database)).missed == 1

    tick = START + 2 * QUARTER
    (row,) = [row for row in await rows_of(database) if row.status == "missed"]
    assert row.execution_id == missed_id(JOB, tick)
    assert (row.scheduled_for, row.started_at, row.completed_at, row.duration_seconds) == (tick, tick, tick, 0)
    assert (row.attempt, row.closed_by, row.details["reason"]) == (0, "reconciler", "no_run")
    prefect.now += timedelta(minutes=1)
    assert (await round_of(prefect, database)).missed == 1, "the tick of the full hour has become too old for a run"
    assert (await round_of(prefect, database)).missed == 0


async def test_a_tick_with_a_row_is_not_missed_when_its_run_is_deleted(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due)
    await write(database, run, due, status="success")
    prefect.runs.clear()
    prefect.now = due + timedelta(minutes=5)
    done = await round_of(prefect, database)
    assert (done.missed, done.lost) == (0, 0)


async def test_a_paused_job_misses_nothing(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.now = START + timedelta(minutes=5)
    prefect.deployments[0] |= {"paused": True, "updated": prefect.now.isoformat()}
    prefect.now = START + timedelta(hours=3)
    assert (await round_of(prefect, database)).missed == 0


async def test_a_schedule_that_cannot_be_read_stops_nobody(prefect: FakePrefect, database: AsyncEngine) -> None:
    broken = prefect.deploy("broken")
    broken["schedules"][0]["schedule"] = {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "timezone": "UTC"}
    prefect.now = START + QUARTER + timedelta(minutes=2)
    assert (await round_of(prefect, database)).missed == 1
