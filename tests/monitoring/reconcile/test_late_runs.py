"""Which runs are swept as too late, where the server's own automation has not done it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.log.rows import read_rows
from flows.monitoring.prefect_runs import JobRuns
from flows.monitoring.reconcile import late_runs
from tests.monitoring.reconcile.rounds import status_round
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
async def prefect(database: AsyncEngine) -> FakePrefect:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    await status_round(prefect, database)
    return prefect


def state_of(prefect: FakePrefect, run: UUID) -> tuple[str, str]:
    state = prefect.runs[str(run)]["state"]
    return state["type"], state["name"]


async def test_a_late_run_is_missed_and_its_row_says_how_late(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, START, "SCHEDULED", name="Late", run_count=0)
    prefect.now = START + 90 * SECOND
    assert (await status_round(prefect, database)).repaired == 1
    assert state_of(prefect, run) == ("CANCELLED", "Missed")
    async with reading(database) as connection:
        row = (await read_rows(connection, [run]))[run]
    assert (row.status, row.closed_by, row.attempt) == ("skipped", "reconciler", 0)
    assert (row.details["reason"], row.details["late_seconds"]) == ("misfire", 90)
    assert (await status_round(prefect, database)).repaired == 0


async def test_hundreds_of_late_runs_are_missed_in_one_round(prefect: FakePrefect, database: AsyncEngine) -> None:
    # More than the server gives in one answer.
    late = [prefect.run(JOB, START + n * 15 * MINUTE, "SCHEDULED", name="Late", run_count=0) for n in range(210)]
    prefect.now = START + 210 * 15 * MINUTE
    assert [(await status_round(prefect, database)).repaired for _ in range(2)] == [210, 0]
    assert {state_of(prefect, run) for run in late} == {("CANCELLED", "Missed")}
    async with reading(database) as connection:
        rows = await read_rows(connection, late)
    assert {row.details["reason"] for row in rows.values()} == {"misfire"}
    assert len(rows) == len(late)


async def test_what_takes_too_long_is_left_to_the_next_round(
    prefect: FakePrefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_runs, "LONGEST_SECONDS", 0)
    late = [prefect.run(JOB, START + n * MINUTE, "SCHEDULED", name="Late", run_count=0) for n in range(3)]
    async with prefect.client() as client:
        runs = JobRuns(client, {UUID(prefect.deployments[0]["id"]): JOB})
        for n in range(1, 4):
            (fact,) = await late_runs.sweep_late_runs(runs, START + HOUR)
            assert fact.execution_id in late
            assert sum(state_of(prefect, run) == ("CANCELLED", "Missed") for run in late) == n


async def test_a_run_that_is_late_within_the_grace_is_left_to_a_worker(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, START, "SCHEDULED", run_count=0)
    prefect.now = START + 59 * SECOND
    await status_round(prefect, database)
    assert state_of(prefect, run)[0] == "SCHEDULED"


@pytest.mark.parametrize("why", ["it is only watched", "the automation is switched off"])
async def test_a_late_run_that_nobody_may_touch_waits(prefect: FakePrefect, database: AsyncEngine, why: str) -> None:
    if why == "it is only watched":
        prefect.deployments[0]["tags"] = ["monitored"]
    else:
        prefect.switch_off("VibeCheck: late runs are missed")
    run = prefect.run(JOB, START, "SCHEDULED", name="Late", run_count=0)
    prefect.now = START + HOUR
    await status_round(prefect, database)
    assert state_of(prefect, run) == ("SCHEDULED", "Late")


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ("Late", {"auto_scheduled": False}),
        ("Scheduled", {"next_scheduled_start_time": (START + HOUR / 2).isoformat()}),
        ("AwaitingRetry", {"run_count": 1}),
        ("AwaitingConcurrencySlot", {}),
    ],
    ids=["a person's", "retried or put off by a person", "retried", "queued"],
)
async def test_a_run_that_a_person_wants_waits_as_long_as_it_takes(
    prefect: FakePrefect, database: AsyncEngine, state: str, changes: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"run_count": 0, **changes}
    run = prefect.run(JOB, START, "SCHEDULED", name=state, **options)
    prefect.now = START + HOUR
    await status_round(prefect, database)
    assert state_of(prefect, run) == ("SCHEDULED", state)


async def test_a_late_run_deleted_at_that_moment_disturbs_nothing(prefect: FakePrefect, database: AsyncEngine) -> None:
    run = prefect.run(JOB, START, "SCHEDULED", name="Late", run_count=0)

    def delete(path: str) -> bool:
        if path == f"/flow_runs/{run}":
            prefect.runs.clear()
        return False

    prefect.is_broken_for = delete
    prefect.now = START + 90 * SECOND
    assert (await status_round(prefect, database)).until == prefect.now


async def test_a_late_run_that_a_worker_has_taken_is_left_to_its_guard(
    prefect: FakePrefect, database: AsyncEngine
) -> None:
    run = prefect.run(JOB, START, "SCHEDULED", name="Late", run_count=0)

    def take(path: str) -> bool:
        if path == f"/flow_runs/{run}":
            prefect.set_state(run, "PENDING")
        return False

    prefect.is_broken_for = take
    prefect.now = START + 90 * SECOND
    assert (await status_round(prefect, database)).repaired == 0
    assert state_of(prefect, run)[0] == "PENDING"
