"""`verify` gives every tick one class, and names what it cannot account for."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.jobs.ticks import missed
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.reconcile.reconciler import reconcile
from flows.monitoring.tables import MonitoredJob
from flows.monitoring.verify.accounts import Account
from tests.monitoring.verify.logged import JOB, MINUTE, QUARTER, TICKS, log, log_all, verified
from tests.support.fake_prefect import START, FakePrefect


async def account_of(prefect: FakePrefect, database: AsyncEngine, tick: datetime) -> Account:
    (job,) = (await verified(prefect, database)).jobs
    (account,) = [account for account in job.ticks if account.at == tick]
    return account


async def test_a_log_with_a_row_for_each_tick_is_complete(prefect: FakePrefect, database: AsyncEngine) -> None:
    await log_all(prefect, database)
    verification = await verified(prefect, database)
    assert verification.is_complete
    (job,) = verification.jobs
    assert [account.at for account in job.ticks] == TICKS
    assert {account.what for account in job.ticks} == {"success"}
    assert {account.duration_seconds for account in job.ticks} == {60}
    assert (job.extra_runs, job.doubles, job.unseen) == ((), (), ())
    (job,) = (await verified(prefect, database, since=TICKS[2], until=TICKS[4])).jobs
    assert [account.at for account in job.ticks] == TICKS[2:4]
    assert job.extra_runs == (), "what lies outside of the window is not about it"


@pytest.mark.parametrize("status", ["success", "partial_failure", "failure", "skipped", "cancelled"])
async def test_a_tick_has_the_class_of_its_row(prefect: FakePrefect, database: AsyncEngine, status: str) -> None:
    state, name = {
        "success": ("COMPLETED", None),
        "partial_failure": ("COMPLETED", "PartialFailure"),
        "failure": ("FAILED", None),
        "skipped": ("COMPLETED", "Skipped"),
        "cancelled": ("CANCELLED", None),
    }[status]
    await log(database, prefect.run(JOB, TICKS[0], state, name=name), TICKS[0], status, reason="why")
    account = await account_of(prefect, database, TICKS[0])
    assert (account.what, account.reason, account.problem, account.note) == (status, "why", None, None)


async def test_a_tick_that_nobody_saw_is_named_as_not_accounted_for(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    await log_all(prefect, database)
    prefect.runs.clear()
    assert (await verified(prefect, database)).is_complete
    async with database.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM scheduler_execution_log WHERE started_at >= '2026-11-23 13:55'")
    verification = await verified(prefect, database)
    assert not verification.is_complete
    (problem,) = [account for job in verification.jobs for account in job.problems()]
    assert (problem.at, problem.what) == (TICKS[-1], "unaccounted")
    assert problem.problem == "the server has no run for it, and the log has no row"


async def test_a_missed_row_accounts_for_its_tick(prefect: FakePrefect, database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await record(connection, missed(JOB, TICKS[0]))
    account = await account_of(prefect, database, TICKS[0])
    assert (account.what, account.reason, account.closed_by, account.problem) == (
        "missed",
        "no_run",
        "reconciler",
        None,
    )


async def test_a_run_that_is_over_without_a_closed_row_is_a_problem(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    prefect.run(JOB, TICKS[0], "FAILED")
    account = await account_of(prefect, database, TICKS[0])
    assert account.problem == "Prefect ended it as Failed at 12:15:20 UTC, but it has no row in the log"
    await log(database, prefect.run(JOB, TICKS[1], "FAILED"), TICKS[1], None)
    account = await account_of(prefect, database, TICKS[1])
    assert account.problem == "Prefect ended it as Failed at 12:30:20 UTC, but its row is still open"


async def test_what_is_young_may_still_be_open(prefect: FakePrefect, database: AsyncEngine) -> None:
    last = TICKS[-1]
    states = {"SCHEDULED": "pending", "PENDING": "pending", "RUNNING": "running", "COMPLETED": "pending"}
    for state, what in states.items():
        prefect.runs.clear()
        prefect.run(JOB, last, state, run_count=int(state in ("RUNNING", "COMPLETED")))
        prefect.now = last + 9 * MINUTE
        account = await account_of(prefect, database, last)
        assert (account.what, account.problem) == (what, None), state
        prefect.now = last + 16 * MINUTE
        (job,) = (await verified(prefect, database, until=last + MINUTE)).jobs
        assert job.ticks[-1].what == "unaccounted", state
    prefect.runs.clear()
    prefect.now = last + 9 * MINUTE
    assert (await account_of(prefect, database, last)).what == "pending"


async def test_a_run_may_take_its_interval_before_it_counts_as_stuck(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    await log(database, prefect.run(JOB, TICKS[-1], "RUNNING"), TICKS[-1], None)
    assert (await account_of(prefect, database, TICKS[-1])).what == "running"
    prefect.now = TICKS[-1] + 15 * MINUTE + timedelta(seconds=1)
    assert (await account_of(prefect, database, TICKS[-1])).problem == "it has been Running for 901 s"


async def test_runs_that_people_started_are_apart_and_must_have_rows(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    await log_all(prefect, database)
    at = START + 20 * MINUTE
    await log(database, prefect.run(JOB, at, auto_scheduled=False), at)
    (job,) = (await verified(prefect, database)).jobs
    assert [(account.at, account.what) for account in job.extra_runs] == [(at, "success")]
    assert len(job.ticks) == len(TICKS)
    prefect.run(JOB, at + MINUTE, auto_scheduled=False)
    verification = await verified(prefect, database)
    assert [account.at for job in verification.jobs for account in job.problems()] == [at + MINUTE]


async def test_of_a_ticks_two_runs_the_one_that_did_most_stands_for_it(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    done, refused = prefect.run(JOB, TICKS[0]), prefect.run(JOB, TICKS[0], "CANCELLED", run_count=0)
    await log(database, refused, TICKS[0], "cancelled")
    await log(database, done, TICKS[0])
    (job,) = (await verified(prefect, database, until=TICKS[0] + MINUTE)).jobs
    assert [account.execution_id for account in job.ticks] == [done]
    assert [account.execution_id for account in job.doubles] == [refused]
    assert not list(job.problems())


async def test_a_row_that_calls_a_tick_with_a_run_missed_is_a_problem(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    await log(database, prefect.run(JOB, TICKS[0]), TICKS[0])
    async with database.begin() as connection:
        await record(connection, missed(JOB, TICKS[0]))
    (job,) = (await verified(prefect, database, until=TICKS[0] + MINUTE)).jobs
    assert [account.what for account in job.ticks] == ["success"]
    (problem,) = job.problems()
    assert problem.problem == "a row calls the tick missed, although it has a run"


async def test_a_known_disagreement_is_a_note_and_another_a_problem(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    await log(database, prefect.run(JOB, TICKS[0], "CRASHED"), TICKS[0])
    account = await account_of(prefect, database, TICKS[0])
    assert account.what == "success"
    assert account.problem == "Prefect calls it Crashed, and the row says success without knowing of that"
    async with prefect.client() as client:
        await reconcile(client, database, await read_live_jobs(client, prefect.now))
    account = await account_of(prefect, database, TICKS[0])
    assert (account.what, account.note, account.problem) == ("success", "Prefect calls it Crashed", None)


async def test_a_disagreement_that_is_young_may_still_be_noted(prefect: FakePrefect, database: AsyncEngine) -> None:
    await log(database, prefect.run(JOB, TICKS[-1], "CRASHED", lasts=13 * MINUTE), TICKS[-1])
    account = await account_of(prefect, database, TICKS[-1])
    assert (account.note, account.problem) == ("Prefect calls it Crashed", None)


async def test_a_run_started_again_keeps_its_class_and_says_so(prefect: FakePrefect, database: AsyncEngine) -> None:
    await log(database, prefect.run(JOB, TICKS[0], "RUNNING", run_count=2), TICKS[0], "failure", closed_by="hook")
    account = await account_of(prefect, database, TICKS[0])
    assert (account.what, account.problem) == ("failure", None)
    assert account.note == "Prefect has started it again: it is Running"


async def test_a_tick_that_only_its_missed_row_knows_of_is_a_tick(prefect: FakePrefect, database: AsyncEngine) -> None:
    before = START - QUARTER
    async with database.begin() as connection:
        await record(connection, missed(JOB, before))
    (job,) = (await verified(prefect, database, since=before, until=START)).jobs
    assert [(account.at, account.what) for account in job.ticks] == [(before, "missed")]


async def test_nothing_is_expected_since_a_deployment_was_last_seen(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    prefect.deployments.clear()
    async with database.begin() as connection:
        await connection.execute(update(table_of(MonitoredJob)).values(updated_at=TICKS[1] + MINUTE))
    (job,) = (await verified(prefect, database)).jobs
    assert [account.at for account in job.ticks] == TICKS[:2]


async def test_it_says_what_it_could_not_see(prefect: FakePrefect, database: AsyncEngine) -> None:
    await log_all(prefect, database)
    prefect.runs.clear()
    verification = await verified(prefect, database, since=START - timedelta(days=400), retention_days=180)
    assert verification.is_complete
    assert verification.since == prefect.now - timedelta(days=180)
    assert verification.unseen == ("Anything before 27 May 14:14:00 UTC: the log keeps 180 days.",)
    (job,) = verification.jobs
    assert job.unseen == (
        "Which ticks were expected before 12:00:00 UTC: the schedule was not known yet.",
        "The flow runs of 8 execution(s): the server no longer has them, the log is the only witness.",
    )


async def test_a_change_that_nobody_has_noted_yet_counts(prefect: FakePrefect, database: AsyncEngine) -> None:
    prefect.now = TICKS[3] + MINUTE
    prefect.deployments[0] |= {"paused": True, "updated": prefect.now.isoformat()}
    prefect.now = TICKS[-1] + 14 * MINUTE
    (job,) = (await verified(prefect, database)).jobs
    assert [account.at for account in job.ticks] == TICKS[:4]


async def test_a_row_from_days_after_its_tick_is_found_by_its_run(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, TICKS[0])
    async with database.begin() as connection:
        later = TICKS[0] + timedelta(days=2)
        closing = Closing("skipped", later, "hook", details={"reason": "misfire", "late_seconds": 172800})
        await record(connection, Fact(run, JOB, TICKS[0], 1, later, closing))
    (job,) = (await verified(prefect, database, until=TICKS[0] + MINUTE, grace=timedelta(days=9))).jobs
    assert [(account.what, account.late_seconds) for account in job.ticks] == [("skipped", 172800)]
