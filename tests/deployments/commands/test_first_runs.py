"""The runs that `vibecheck up` starts by itself, beside those of the schedules."""

from datetime import datetime, timedelta

import pytest

from deployments.commands.first_runs import start_first_runs, sweep_due_runs
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
QUARTER = timedelta(minutes=15)


def planned(prefect: FakePrefect, first: timedelta, every: timedelta = QUARTER) -> list[str]:
    """Three ticks from `first` after now on, as the scheduler plans them."""
    return [str(prefect.run(JOB, START + first + k * every, "SCHEDULED", run_count=0)) for k in range(3)]


async def first_runs(prefect: FakePrefect) -> list[str]:
    """The runs that are to start now, once `up` has asked for them."""
    async with prefect.client() as client:
        await start_first_runs(client)
    waiting = [run for run in prefect.runs.values() if run["state_type"] == "SCHEDULED"]
    return [run["id"] for run in waiting if datetime.fromisoformat(run["next_scheduled_start_time"]) <= START]


async def test_what_is_due_when_up_starts_is_missed() -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    due = prefect.run(JOB, START - timedelta(seconds=40), "SCHEDULED", run_count=0)
    coming = prefect.run(JOB, START + timedelta(seconds=5), "SCHEDULED", run_count=0)

    async with prefect.client() as client:
        await sweep_due_runs(client)

    assert prefect.runs[str(due)]["state"]["name"] == "Missed"
    assert prefect.runs[str(coming)]["state"]["type"] == "SCHEDULED"


async def test_a_job_whose_tick_is_far_gets_a_run_of_its_own() -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    ticks = planned(prefect, timedelta(minutes=14))
    (first,) = await first_runs(prefect)
    assert first not in ticks
    assert not prefect.runs[first]["auto_scheduled"]


@pytest.mark.parametrize(("interval", "ahead"), [(QUARTER, 420), (timedelta(minutes=5), 140), (timedelta(days=1), 590)])
async def test_the_run_of_a_tick_that_comes_soon_is_brought_forward(interval: timedelta, ahead: float) -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    ticks = planned(prefect, timedelta(seconds=ahead), interval)
    assert await first_runs(prefect) == ticks[:1]
    # It stays the run of its tick, which is so accounted for.
    assert prefect.runs[ticks[0]]["expected_start_time"] == (START + timedelta(seconds=ahead)).isoformat()
    assert len(prefect.runs) == len(ticks)


@pytest.mark.parametrize(("interval", "ahead"), [(QUARTER, 480), (timedelta(minutes=5), 160), (timedelta(days=1), 610)])
async def test_bringing_a_tick_forward_makes_no_job_overdue(interval: timedelta, ahead: float) -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    ticks = planned(prefect, timedelta(seconds=ahead), interval)
    assert not set(await first_runs(prefect)) & set(ticks)


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
async def test_beside_a_run_in_a_workers_hands_no_other_is_started(state: str) -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    prefect.run(JOB, START + timedelta(seconds=5), state)
    planned(prefect, timedelta(minutes=14))
    assert await first_runs(prefect) == []


async def test_what_is_not_supervised_is_left_alone() -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB, tags=["monitored"])
    planned(prefect, timedelta(minutes=1))
    assert await first_runs(prefect) == []


async def test_a_job_that_is_switched_off_is_not_started() -> None:
    prefect = FakePrefect()
    prefect.deploy("paused", paused=True)
    prefect.deploy("off", schedules=[prefect.schedule(QUARTER) | {"active": False}])
    assert await first_runs(prefect) == []


async def test_a_job_that_cannot_be_started_is_told_and_others_start() -> None:
    prefect = FakePrefect()
    refused, started = prefect.deploy("needs_a_city"), prefect.deploy(JOB)
    said = "Error creating flow run: Validation failed. Failure reason: 'city' is a required property"
    prefect.refusals[f"/deployments/{refused['id']}/create_flow_run"] = said
    async with prefect.client() as client:
        told = await start_first_runs(client)
    assert told == [f"needs_a_city waits for its next tick: it was refused a first run ({said})."]
    assert [run["deployment_id"] for run in prefect.runs.values()] == [started["id"]]
