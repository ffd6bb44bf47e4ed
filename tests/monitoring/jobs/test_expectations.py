"""What is expected of the jobs is what the live deployments say, with its history."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.database.engine import reading
from flows.monitoring.jobs.deployments import DEFAULT_HEARTBEAT_SECONDS, read_live_jobs
from flows.monitoring.jobs.expectations import Synced, sync_expectations
from flows.monitoring.jobs.registry import StoredJob, read_jobs, schedule_history
from flows.monitoring.jobs.ticks import PLANNING_TIME, expected_ticks
from flows.monitoring.tables import MonitoredJob
from tests.monitoring.verdicts.seeding import ran, seed
from tests.support.fake_prefect import START, FakePrefect

QUARTER = timedelta(minutes=15)
SETTING = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"


async def sync(prefect: FakePrefect, database: AsyncEngine) -> Synced:
    async with prefect.client() as client:
        return await sync_expectations(client, database)


async def job_of(database: AsyncEngine, name: str = "poll") -> StoredJob:
    async with reading(database) as connection:
        return (await read_jobs(connection))[name]


async def entries(database: AsyncEngine, name: str = "poll") -> list[tuple[datetime, list[dict[str, Any]], bool]]:
    async with reading(database) as connection:
        history = await schedule_history(connection)
    return [(entry.valid_from, entry.schedule, entry.paused) for entry in history[name]]


async def expected(database: AsyncEngine, start: datetime, end: datetime) -> list[datetime]:
    async with reading(database) as connection:
        history = await schedule_history(connection)
    return expected_ticks(history["poll"], start, end)


async def test_a_deployment_becomes_a_job_with_its_schedule_and_plan(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    prefect.deploy("not_ours", tags=["other"])
    prefect.run("poll", START + 2 * QUARTER, "SCHEDULED", run_count=0)
    prefect.run("poll", START + QUARTER, "SCHEDULED", run_count=0)
    prefect.run("poll", START + timedelta(minutes=7), "SCHEDULED", run_count=0, auto_scheduled=False)
    prefect.run("poll", START - QUARTER, "SCHEDULED", run_count=0, name="Late")

    synced = await sync(prefect, database)

    assert [job.full_name for job in synced.jobs] == ["poll/scheduled"]
    assert (synced.appeared, synced.rescheduled, synced.retired) == (("poll",), (), ())
    job = await job_of(database)
    assert str(job.deployment_id) == deployment["id"]
    assert (job.interval_seconds, job.paused, job.retired_at) == (900, False, None)
    assert (job.next_run_at, job.planned_runs) == (START + QUARTER, 2)
    assert job.since == START
    ((valid_from, schedule, paused),) = await entries(database)
    assert (valid_from, paused) == (START, False)
    assert [(spec["interval"], spec["anchor"]) for spec in schedule] == [(900, START.isoformat())]


async def test_a_plan_that_is_about_to_be_made_is_no_missing_one(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.deploy("poll")
    prefect.now += timedelta(seconds=89)
    await sync(prefect, database)
    assert (await job_of(database)).next_run_at == START + QUARTER
    prefect.now += timedelta(seconds=1)
    await sync(prefect, database)
    assert (await job_of(database)).next_run_at is None


async def test_syncing_again_changes_nothing(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.deploy("poll")
    await sync(prefect, database)
    before = await job_of(database), await entries(database)
    prefect.now += timedelta(hours=1)
    # Another deploy of the same: the server makes the schedules anew.
    prefect.deployments[0] |= {"schedules": [prefect.schedule(QUARTER)], "updated": prefect.now.isoformat()}

    synced = await sync(prefect, database)

    assert (synced.appeared, synced.rescheduled) == ((), ())
    job = await job_of(database)
    assert (job.since, await entries(database)) == (before[0].since, before[1])
    assert job.updated_at is not None
    assert before[0].updated_at is not None
    assert job.updated_at >= before[0].updated_at


async def test_a_change_of_schedule_is_noted_as_of_when_it_was_made(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.deploy("poll")
    await sync(prefect, database)
    changed_at = prefect.now = START + timedelta(hours=1)
    prefect.deployments[0]["schedules"] = [prefect.schedule(timedelta(hours=1))]
    prefect.now += timedelta(minutes=4)

    assert (await sync(prefect, database)).rescheduled == ("poll",)

    assert [valid_from for valid_from, _, _ in await entries(database)] == [START, changed_at]
    job = await job_of(database)
    assert (job.interval_seconds, job.since) == (3600, changed_at)
    assert await expected(database, START + timedelta(minutes=1), START + timedelta(hours=3)) == [
        START + QUARTER,
        START + 2 * QUARTER,
        START + 3 * QUARTER,
        # The tick of the full hour was due at the very moment of the change, before the server had planned anew.
        START + timedelta(hours=2),
    ]


async def test_a_pause_is_noted_and_nothing_is_expected_in_it(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    await sync(prefect, database)
    for minutes, paused in ((20, True), (50, False)):
        prefect.now = START + timedelta(minutes=minutes)
        deployment |= {"paused": paused, "updated": prefect.now.isoformat()}
        prefect.now += timedelta(minutes=2)
        await sync(prefect, database)
        assert (await job_of(database)).paused == paused

    assert await expected(database, START, START + timedelta(minutes=61)) == [START + QUARTER, START + 4 * QUARTER]
    assert (await job_of(database)).since == START + timedelta(minutes=50), "a resumed job is not overdue at once"


async def test_a_schedule_that_is_not_active_counts_as_a_pause(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    deployment["schedules"][0]["active"] = False
    await sync(prefect, database)
    assert (await job_of(database)).paused


async def test_a_job_without_deployment_is_retired_and_comes_back_new(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    await sync(prefect, database)
    prefect.deployments.clear()
    prefect.now += timedelta(days=1)
    assert (await sync(prefect, database)).retired == ("poll",)
    assert (await job_of(database)).retired_at == prefect.now
    assert (await sync(prefect, database)).retired == ()

    prefect.now += timedelta(days=1)
    prefect.deployments.append(deployment | {"created": prefect.now.isoformat(), "updated": prefect.now.isoformat()})
    assert (await sync(prefect, database)).appeared == ("poll",)
    job = await job_of(database)
    assert (job.retired_at, job.since) == (None, prefect.now)
    assert [paused for _, _, paused in await entries(database)] == [False, True, False]


async def test_nothing_is_asked_of_a_job_after_its_last_sight(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.deploy("poll")
    await sync(prefect, database)
    last_seen = START + timedelta(minutes=20)
    async with database.begin() as connection:
        await connection.execute(update(table_of(MonitoredJob)).values(updated_at=last_seen))
    prefect.deployments.clear()
    prefect.now = START + timedelta(hours=1)
    await sync(prefect, database)
    assert [valid_from for valid_from, _, _ in await entries(database)] == [START, last_seen]
    assert await expected(database, START, prefect.now) == [START + QUARTER]


async def test_the_history_only_grows_even_if_the_clocks_go_back(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    await sync(prefect, database)
    prefect.now = START - timedelta(hours=1)
    deployment |= {"paused": True, "updated": prefect.now.isoformat()}
    deployment["schedules"] = [prefect.schedule(QUARTER)]
    await sync(prefect, database)
    assert [(valid_from - START, paused) for valid_from, _, paused in await entries(database)] == [
        (timedelta(0), False),
        (timedelta(microseconds=1), True),
    ]


async def test_each_deployment_of_a_flow_is_a_job_of_its_own(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    scheduled = prefect.deploy("poll")
    await sync(prefect, database)
    hourly = prefect.deploy("poll", every=timedelta(hours=1), name="hourly", paused=True)
    prefect.run("poll", START + QUARTER, "SCHEDULED", run_count=0)

    assert (await sync(prefect, database)).appeared == ("poll/hourly",)

    jobs = [await job_of(database, name) for name in ("poll", "poll/hourly")]
    assert [str(job.deployment_id) for job in jobs] == [scheduled["id"], hourly["id"]]
    assert [(job.interval_seconds, job.paused, job.planned_runs) for job in jobs] == [(900, False, 1), (0, True, 0)]


@pytest.mark.parametrize(
    "job_variables",
    [
        {},
        {"env": None},
        {"env": "{{ env }}"},
        {"env": [{"name": SETTING, "value": "30"}]},
        {"env": {SETTING: None}},
        {"env": {SETTING: "{{ prefect.variables.x }}"}},
        {"env": {SETTING: "nan"}},
        {"env": {SETTING: -1}},
        {"env": {SETTING: 2}},
        {"env": {SETTING: 1e300}},
        {"env": {SETTING: 10**400}},
    ],
)
async def test_odd_job_variables_mean_prefects_own_heartbeat(job_variables: dict[str, Any]) -> None:
    prefect = FakePrefect()
    prefect.deploy("odd", job_variables=job_variables)
    prefect.deploy("ours", job_variables={"env": {SETTING: "30"}})
    async with prefect.client() as client:
        jobs = await read_live_jobs(client, START)
    assert [job.heartbeat_seconds for job in jobs] == [DEFAULT_HEARTBEAT_SECONDS, 30]


async def test_a_job_without_a_schedule_expects_nothing(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    prefect.deploy("poll", every=None)
    await sync(prefect, database)
    job = await job_of(database)
    assert (job.interval_seconds, job.paused, job.ticks) == (0, False, [])
    assert await expected(database, START, START + timedelta(days=1)) == []


async def test_cron_and_rrule_schedules_are_understood(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    deployment["schedules"] = [
        prefect.schedule(QUARTER) | {"schedule": {"cron": "30 * * * *", "timezone": "UTC", "day_or": True}},
        prefect.schedule(QUARTER) | {"schedule": {"rrule": "FREQ=HOURLY;BYMINUTE=45;BYSECOND=0", "timezone": "UTC"}},
    ]
    await sync(prefect, database)
    hour = START + PLANNING_TIME
    assert await expected(database, hour, hour + timedelta(hours=1)) == [
        START + timedelta(minutes=30),
        START + timedelta(minutes=45),
    ]


async def test_nothing_is_expected_before_the_scheduler_had_time(database: AsyncEngine) -> None:
    prefect = FakePrefect(now=START + QUARTER - timedelta(seconds=5))
    prefect.deploy("poll")
    await sync(prefect, database)
    assert await expected(database, START, START + 3 * QUARTER) == [START + 2 * QUARTER]


async def test_a_job_of_cron_or_with_a_tag_knows_its_first_ticks(database: AsyncEngine) -> None:
    prefect = FakePrefect()
    nightly = prefect.schedule(QUARTER) | {"schedule": {"cron": "0 2 * * *", "timezone": "UTC", "day_or": True}}
    prefect.deploy("nightly", schedules=[nightly], tags=["monitored", "within=30m", "stale_after=soon"])
    prefect.deploy("tagged", tags=["monitored", "within=1m"])
    prefect.deploy("plain")
    await sync(prefect, database)
    first = START + timedelta(hours=14)
    job = await job_of(database, "nightly")
    assert job.expectations == {
        "within": 1_800,
        "wrong": ["stale_after=soon: not a length of time, such as 90s, 30m, 2h or 1d"],
    }
    assert job.ticks is not None
    assert job.ticks[:2] == [first.isoformat(), (first + timedelta(days=1)).isoformat()]
    tagged = await job_of(database, "tagged")
    assert tagged.ticks is not None
    assert tagged.ticks[0] == (START + QUARTER).isoformat()
    assert (await job_of(database, "plain")).ticks is None

    await seed(database, rows=[ran("nightly", first, "success")])
    prefect.now = first + timedelta(minutes=5)
    await sync(prefect, database)
    job = await job_of(database, "nightly")
    assert job.ticks is not None
    assert job.ticks[0] == (first + timedelta(days=1)).isoformat()
