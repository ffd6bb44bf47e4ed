"""The reconciler makes the log say what the server knows, and does so once."""

from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.log.merge import CLAIMS
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.watermark import read_watermark
from flows.monitoring.reconcile import reconciler as reconciling
from tests.monitoring.reconcile.rounds import JOB, SECOND, round_of, row_of, rows_of, write
from tests.support.fake_prefect import START, FakePrefect

QUARTER = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


# What the server has for a run, what the log says then: status, reason, attempt.
ENDINGS = {
    "completed": (("COMPLETED", None, None, 1), ("success", None, 1)),
    "partly": (("COMPLETED", "PartialFailure", "1 page failed", 1), ("partial_failure", None, 1)),
    "guarded": (("COMPLETED", "Skipped", "Misfire", 1), ("skipped", None, 1)),
    "failed": (("FAILED", None, "It broke.", 2), ("failure", None, 2)),
    "timed out": (("FAILED", "TimedOut", "Too long.", 1), ("failure", "timed_out", 1)),
    "crashed": (("CRASHED", None, "Killed.", 1), ("failure", "crashed", 1)),
    "refused": (("CANCELLED", None, "Deployment concurrency limit reached.", 0), ("skipped", "overlap", 0)),
    "swept": (("CANCELLED", "Missed", "Too late.", 0), ("skipped", "misfire", 0)),
    "cancelled early": (("CANCELLED", None, "A person did.", 0), ("cancelled", None, 0)),
    "cancelled": (("CANCELLED", None, "A person did.", 1), ("cancelled", None, 1)),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("before", ["no row", "an open row"])
async def test_a_run_that_is_over_gets_its_row(
    prefect: FakePrefect, database: AsyncEngine, ending: str, before: str
) -> None:
    (state, name, message, run_count), (status, reason, attempt) = ENDINGS[ending]
    due = START + QUARTER
    run = prefect.run(JOB, due, state, name=name, message=message, run_count=run_count, lasts=90 * SECOND)
    if before == "an open row" and run_count:
        await write(database, run, due)
    prefect.now = due + timedelta(minutes=2)

    done = await round_of(prefect, database)

    assert (done.repaired, done.lost, done.missed, done.is_behind) == (1, 0, 0, False)
    row = await row_of(database, run)
    assert (row.job_name, row.status, row.attempt, row.closed_by) == (JOB, status, attempt, "reconciler")
    assert (row.scheduled_for, row.started_at, row.completed_at) == (due, due, due + 90 * SECOND)
    assert row.details.get("reason") == reason
    assert row.details.get("explanation") == ("Misfire" if ending == "guarded" else None)
    assert row.details.get("late_seconds") == (90 if ending == "swept" else None)
    again = await round_of(prefect, database)
    assert (again.repaired, again.missed) == (0, 0)
    assert await row_of(database, run) == row


@pytest.mark.parametrize("closed_by", ["flow", "hook"])
async def test_a_row_that_agrees_is_left_as_it_is(prefect: FakePrefect, database: AsyncEngine, closed_by: str) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due)
    await write(database, run, due, status="success", closed_by=closed_by)
    before = await row_of(database, run)
    prefect.now = due + timedelta(minutes=2)
    assert (await round_of(prefect, database)).repaired == 0
    assert await row_of(database, run) == before


async def test_a_committed_success_stays_and_the_disagreement_is_noted(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due, "CRASHED", message="The server went away.")
    await write(database, run, due, status="success")
    prefect.now = due + timedelta(minutes=2)

    assert (await round_of(prefect, database)).repaired == 1

    row = await row_of(database, run)
    assert (row.status, row.closed_by, row.error_message, row.details["fetched"]) == ("success", "flow", None, 5)
    assert row.details[CLAIMS] == {"flow": "success", "reconciler": "failure"}
    assert (await round_of(prefect, database)).repaired == 0


async def test_a_row_without_a_start_gets_the_servers(prefect: FakePrefect, database: AsyncEngine) -> None:
    # After a SIGKILL, the hook runs in a process that only saw the run from before its start.
    due = START + QUARTER
    started_at = due + 5 * SECOND
    run = prefect.run(JOB, due, "CRASHED", start_time=started_at.isoformat())
    closing = Closing("failure", due + 20 * SECOND, "hook", "Killed.", {"reason": "crashed"})
    async with database.begin() as connection:
        await record(connection, Fact(run, JOB, due, 0, due, closing))
    prefect.now = due + timedelta(minutes=2)

    assert (await round_of(prefect, database)).repaired == 1

    row = await row_of(database, run)
    assert (row.attempt, row.started_at, row.duration_seconds) == (1, started_at, 15)
    assert (row.closed_by, row.error_message) == ("hook", "Killed.")
    assert (await round_of(prefect, database)).repaired == 0


async def test_a_row_under_the_flows_name_gets_the_jobs(prefect: FakePrefect, database: AsyncEngine) -> None:
    due = START + QUARTER
    other = prefect.deploy(JOB, name="eu")
    run = prefect.run(JOB, due, deployment_id=other["id"])
    await write(database, run, due, status="success", closed_by="hook")
    prefect.now = due + timedelta(minutes=2)
    assert (await round_of(prefect, database)).repaired == 1
    assert (await row_of(database, run)).job_name == f"{JOB}/eu"
    assert (await round_of(prefect, database)).repaired == 0


async def test_a_run_that_goes_on_keeps_its_open_row(prefect: FakePrefect, database: AsyncEngine) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due, "RUNNING")
    await write(database, run, due)
    prefect.now = due + timedelta(minutes=2)
    assert (await round_of(prefect, database)).repaired == 0
    assert (await row_of(database, run)).status == "running"


async def test_a_run_that_is_going_and_writes_no_row_gets_an_open_one(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due, "RUNNING")
    prefect.now = due + timedelta(minutes=2)
    assert (await round_of(prefect, database)).repaired == 1
    row = await row_of(database, run)
    assert (row.status, row.started_at, row.closed_by) == ("running", due, None)
    assert (await round_of(prefect, database)).repaired == 0
    prefect.set_state(run, "COMPLETED")
    await round_of(prefect, database)
    assert (await row_of(database, run)).status == "success"


async def test_an_open_row_from_before_the_watermark_is_closed(prefect: FakePrefect, database: AsyncEngine) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due, "FAILED", message="It broke.")
    prefect.runs[str(run)]["end_time"] = (START - timedelta(days=1)).isoformat()
    await write(database, run, due)
    prefect.now = due + timedelta(minutes=2)
    assert (await round_of(prefect, database)).repaired == 1
    assert (await row_of(database, run)).error_message == "It broke."


async def test_an_open_row_whose_run_the_server_no_longer_has_is_lost(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    due = START + QUARTER
    run = prefect.run(JOB, due, "RUNNING")
    await write(database, run, due)
    prefect.runs.clear()
    prefect.now = due + timedelta(seconds=30)
    done = await round_of(prefect, database)
    assert (done.repaired, done.lost) == (1, 1)
    row = await row_of(database, run)
    assert (row.status, row.details["reason"], row.closed_by) == ("failure", "lost", "reconciler")


async def test_a_long_absence_is_made_up_for_bit_by_bit(
    prefect: FakePrefect, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "SLICES", 2)
    ticks = [START + number * QUARTER for number in range(1, 100)]
    for tick in ticks[::2]:
        prefect.run(JOB, tick)
    prefect.now = ticks[-1] + timedelta(minutes=2)

    rounds = [await round_of(prefect, database) for _ in range(3)]

    assert [each.is_behind for each in rounds] == [True, True, False]
    assert rounds[0].until < rounds[1].until < rounds[2].until
    rows = await rows_of(database)
    assert [row.scheduled_for for row in rows] == ticks
    assert [row.status for row in rows] == [("success", "missed")[number % 2] for number in range(len(ticks))]


async def test_a_crowd_of_runs_is_taken_in_slices_and_none_is_lost(
    prefect: FakePrefect, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "RUNS_IN_A_SLICE", 10)
    monkeypatch.setattr(reconciling, "SLICES", 5)
    due = [START + number * 10 * SECOND for number in range(60)]
    runs = {prefect.run(JOB, at, auto_scheduled=False) for at in due}
    prefect.now = due[-1] + MINUTE
    rounds = 1
    while (await round_of(prefect, database)).is_behind:
        rounds += 1
    assert rounds == 3, "ten minutes, in slices of a minute, and the one that has begun"
    assert {row.execution_id for row in await rows_of(database) if row.status == "success"} == runs


async def test_more_runs_than_fit_on_a_page_are_all_recorded(prefect: FakePrefect, database: AsyncEngine) -> None:
    runs = {prefect.run(JOB, START + number * SECOND, auto_scheduled=False) for number in range(205)}
    prefect.now = START + 5 * MINUTE
    assert (await round_of(prefect, database)).repaired == len(runs)
    assert {row.execution_id for row in await rows_of(database)} == runs


async def test_the_watermark_stays_when_the_server_goes_away(prefect: FakePrefect, database: AsyncEngine) -> None:
    async def watermark() -> datetime | None:
        async with reading(database) as connection:
            return await read_watermark(connection)

    due = START + QUARTER
    run = prefect.run(JOB, due)
    prefect.now = due + timedelta(minutes=2)
    before = await watermark()
    asked = 0

    def is_broken(path: str) -> bool:
        nonlocal asked
        asked += path == "/flow_runs/filter"
        # What is planned is the first question, the runs that ended the second, those that were due the third.
        return asked == 3

    prefect.is_broken_for = is_broken
    with pytest.raises(httpx.HTTPError):
        await round_of(prefect, database)
    assert await watermark() == before

    prefect.is_broken_for = lambda _path: False
    await round_of(prefect, database)
    assert (await row_of(database, run)).status == "success"
    assert await watermark() == prefect.now


async def test_a_run_that_ended_just_before_the_watermark_is_seen(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.now = START + QUARTER + timedelta(minutes=10)
    await round_of(prefect, database)
    late = prefect.run(JOB, START + QUARTER)
    await round_of(prefect, database)
    assert (await row_of(database, late)).status == "success"


async def test_with_nothing_monitored_there_is_nothing_to_do(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.run("somebody_elses", START)
    done = await round_of(prefect, database)
    assert (done.repaired, done.lost, done.missed) == (0, 0, 0)
