"""Which runs count as lost, and which only look like it."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.log.rows import LogRow, read_rows
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import Reconciled
from tests.monitoring.reconcile.rounds import status_round
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
MINUTE = timedelta(minutes=1)
DUE = START + 15 * MINUTE


@pytest.fixture
def database(sqlite_database: AsyncEngine) -> AsyncEngine:
    """What decides is not in SQL: the statements of a repair run on both kinds of database in its neighbours."""
    return sqlite_database


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    """A server on which an earlier run has sent heartbeats, at the time when the next run is due."""
    prefect = FakePrefect()
    prefect.deploy(JOB)
    earlier = prefect.run(JOB, START)
    prefect.heartbeats[str(earlier)] = START
    prefect.now = DUE
    await round_of(prefect, database)
    return prefect


async def round_of(prefect: FakePrefect, database: AsyncEngine) -> Reconciled:
    return await status_round(prefect, database, Patience(pending_seconds=300, silent_seconds=600))


async def rounds_until(prefect: FakePrefect, database: AsyncEngine, minute: int) -> list[Reconciled]:
    """What the status flow does every 5 minutes, until `minute` after the run was due."""
    rounds: list[Reconciled] = []
    while prefect.now < DUE + minute * MINUTE:
        prefect.now = min(prefect.now + 5 * MINUTE, DUE + minute * MINUTE)
        rounds.append(await round_of(prefect, database))
    return rounds


async def row_of(database: AsyncEngine, run: UUID) -> LogRow | None:
    async with reading(database) as connection:
        return (await read_rows(connection, [run])).get(run)


async def test_a_run_that_does_not_start_within_the_bound_is_lost(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, DUE, "PENDING", run_count=0)
    assert sum(done.lost for done in await rounds_until(prefect, database, 5)) == 0
    assert await row_of(database, run) is None

    (done,) = await rounds_until(prefect, database, 6)

    assert (done.lost, done.repaired) == (1, 1)
    assert prefect.runs[str(run)]["state_type"] == "CRASHED"
    row = await row_of(database, run)
    assert row is not None
    assert (row.status, row.details["reason"], row.closed_by, row.attempt) == ("failure", "lost", "reconciler", 0)
    assert row.error_message == "Lost: handed to a worker 360 s ago, and it never started."
    assert (await round_of(prefect, database)).repaired == 0


async def test_a_run_without_a_sign_of_life_is_lost(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, DUE, "RUNNING")
    prefect.heartbeats[str(run)] = DUE + 4 * MINUTE
    assert sum(done.lost for done in await rounds_until(prefect, database, 14)) == 0

    (done,) = await rounds_until(prefect, database, 15)

    assert done.lost == 1
    row = await row_of(database, run)
    assert row is not None
    assert (row.status, row.details["reason"], row.attempt) == ("failure", "lost", 1)
    assert row.details["last_seen_at"] == (DUE + 4 * MINUTE).isoformat()
    assert row.error_message == "Lost while running: no sign of life for 660 s."


@pytest.mark.parametrize("refused", ["/flow_runs/{run}", "/flow_runs/{run}/set_state", "/flow_runs/{run} (gone)"])
async def test_a_refused_request_ends_only_its_own_runs_repair(
    prefect: FakePrefect, database: AsyncEngine, refused: str
) -> None:
    prefect.deploy("other")
    spared, ended = (prefect.run(job, DUE, "PENDING", run_count=0) for job in (JOB, "other"))
    missed_by_all = prefect.run(JOB, DUE + 15 * MINUTE)
    if refused.endswith("(gone)"):
        prefect.is_gone = {str(spared)}
    else:
        prefect.is_broken_for = lambda path: path == refused.format(run=spared)
    rounds = await rounds_until(prefect, database, 20)
    assert any(request.startswith(f"/flow_runs/{spared}") for request in prefect.requests)
    assert sum(done.lost for done in rounds) == 1
    assert (prefect.runs[str(spared)]["state_type"], prefect.runs[str(ended)]["state_type"]) == ("PENDING", "CRASHED")
    assert await row_of(database, missed_by_all) is not None


async def test_without_the_servers_events_no_run_is_lost(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.run(JOB, DUE, "RUNNING")
    prefect.is_broken_for = lambda path: path == "/events/filter"
    assert sum(done.lost for done in await rounds_until(prefect, database, 70)) == 0


@pytest.mark.parametrize("why", ["it is only watched", "the automation is switched off"])
async def test_a_lost_run_that_nobody_may_touch_stays(prefect: FakePrefect, database: AsyncEngine, why: str) -> None:
    if why == "it is only watched":
        prefect.deployments[0]["tags"] = ["monitored"]
    else:
        prefect.switch_off("VibeCheck: lost runs are crashed 1 min 30 s after their last heartbeat")
    run = prefect.run(JOB, DUE, "RUNNING")
    assert sum(done.lost for done in await rounds_until(prefect, database, 70)) == 0
    assert prefect.runs[str(run)]["state_type"] == "RUNNING"


async def test_a_run_that_does_not_come_back_for_its_retry_is_lost(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = waiting_for_retry(prefect, at=DUE + MINUTE)
    assert sum(done.lost for done in await rounds_until(prefect, database, 6)) == 0

    (done,) = await rounds_until(prefect, database, 7)

    assert done.lost == 1
    assert prefect.runs[str(run)]["state_type"] == "CRASHED"
    row = await row_of(database, run)
    assert row is not None
    assert (row.status, row.details["reason"], row.attempt) == ("failure", "lost", 1)
    assert row.error_message == "Lost while waiting for its retry, which was due 360 s ago."


async def test_a_run_waiting_for_its_retry_keeps_its_slot(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.run(JOB, DUE, "PENDING", run_count=0)
    waiting_for_retry(prefect, at=DUE + 20 * MINUTE)
    assert sum(done.lost for done in await rounds_until(prefect, database, 20)) == 0


async def test_a_retry_that_a_person_asked_for_waits_for_a_worker(prefect: FakePrefect, database: AsyncEngine) -> None:
    waiting_for_retry(prefect, at=DUE, retry_type="reschedule")
    assert sum(done.lost for done in await rounds_until(prefect, database, 90)) == 0


def waiting_for_retry(prefect: FakePrefect, *, at: datetime, retry_type: str = "in_process") -> UUID:
    """A run that failed once, and waits to try again."""
    return prefect.run(
        JOB, DUE, "SCHEDULED", name="AwaitingRetry", empirical_policy={"retries": 1, "retry_type": retry_type},
        next_scheduled_start_time=at.isoformat(),
    )  # fmt: skip


async def test_a_run_that_goes_on_sending_heartbeats_is_left_alone(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, DUE, "RUNNING")
    for minute in range(5, 90, 5):
        prefect.heartbeats[str(run)] = DUE + (minute - 3) * MINUTE
        assert sum(done.lost for done in await rounds_until(prefect, database, minute)) == 0
    assert prefect.runs[str(run)]["state_type"] == "RUNNING"


async def test_a_run_of_a_job_without_heartbeats_is_given_an_hour(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.heartbeats.clear()
    prefect.run(JOB, DUE, "RUNNING")
    assert sum(done.lost for done in await rounds_until(prefect, database, 60)) == 0
    assert sum(done.lost for done in await rounds_until(prefect, database, 65)) == 1


async def test_after_the_server_was_away_a_run_gets_time_to_show_life(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, DUE, "RUNNING")
    prefect.now = DUE + 40 * MINUTE
    assert (await round_of(prefect, database)).lost == 0

    prefect.heartbeats[str(run)] = DUE + 41 * MINUTE
    assert sum(done.lost for done in await rounds_until(prefect, database, 51)) == 0
    assert sum(done.lost for done in await rounds_until(prefect, database, 52)) == 1


async def test_a_cancellation_that_nobody_carries_out_is_carried_out(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, DUE, "CANCELLING")
    assert sum(done.lost for done in await rounds_until(prefect, database, 11)) == 1
    assert prefect.runs[str(run)]["state_type"] == "CANCELLED"
    row = await row_of(database, run)
    assert row is not None
    assert (row.status, row.details["reason"]) == ("cancelled", "lost")


async def test_a_lost_run_waits_while_another_has_the_jobs_slot(prefect: FakePrefect, database: AsyncEngine) -> None:
    lost = prefect.run(JOB, DUE, "RUNNING")
    going = prefect.run(JOB, DUE + 15 * MINUTE, "RUNNING")
    for minute in range(20, 35, 5):
        prefect.heartbeats[str(going)] = DUE + minute * MINUTE
        assert sum(done.lost for done in await rounds_until(prefect, database, minute)) == 0
    prefect.set_state(going, "COMPLETED")
    assert sum(done.lost for done in await rounds_until(prefect, database, 35)) == 1
    row = await row_of(database, lost)
    assert row is not None
    assert row.status == "failure"


async def test_two_lost_runs_do_not_wait_for_each_other(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.run(JOB, DUE, "RUNNING")
    prefect.run(JOB, DUE, "PENDING", run_count=0)
    assert sum(done.lost for done in await rounds_until(prefect, database, 15)) == 2


async def test_a_run_that_goes_on_just_before_its_end_is_left_alone(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, DUE, "PENDING", run_count=0)

    def starts_when_it_is_read_again(path: str) -> bool:
        if path == f"/flow_runs/{run}":
            prefect.set_state(run, "RUNNING")
        return False

    prefect.is_broken_for = starts_when_it_is_read_again
    assert sum(done.lost for done in await rounds_until(prefect, database, 6)) == 0
    assert prefect.runs[str(run)]["state_type"] == "RUNNING"


async def test_a_lost_status_run_does_not_wait_for_the_one_that_looks(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    prefect.deploy("pipeline_status", every=5 * MINUTE)
    lost = prefect.run("pipeline_status", DUE, "RUNNING")
    prefect.heartbeats[str(lost)] = DUE
    prefect.run("pipeline_status", DUE + 10 * MINUTE, "RUNNING")
    assert sum(done.lost for done in await rounds_until(prefect, database, 11)) == 1
    assert prefect.runs[str(lost)]["state_type"] == "CRASHED"
