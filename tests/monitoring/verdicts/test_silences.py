"""Silences of the status flow itself: noted by the run that ends them, for whoever the server may have told of them."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.verdicts.changes import judge
from flows.settings import Settings
from tests.monitoring.verdicts.changing import NEWS, judge_times, known, once_healthy, once_overdue, told, turns
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, seed


async def test_the_status_flows_own_silence_is_noted_once_at_its_end(database: AsyncEngine) -> None:
    now = await clock(database)
    await seed(
        database,
        [expected("pipeline_status", now, every_minutes=5)],
        [ran("pipeline_status", now - 180 * MINUTE, seconds=0), ran("pipeline_status", now, "running")],
    )
    await known(database, "pipeline_status", "healthy", None, at=now - timedelta(days=1))
    report = await judge(database, Settings())
    assert not report.overall.stale
    await judge_times(database, 3)
    silence, over = await told(database, "pipeline_status")
    assert (silence.to_status, silence.reason, silence.at) == ("unhealthy", "stale", now - 180 * MINUTE)
    assert over.to_status == "healthy"
    assert over.at >= now
    assert datetime.fromisoformat(over.details["outage_began"]) == now - 180 * MINUTE


@pytest.mark.parametrize(("minutes", "is_told"), [(14.9, True), (13, True), (11, False)])
async def test_whoever_may_know_of_a_silence_hears_its_end(
    database: AsyncEngine, minutes: float, is_told: bool
) -> None:
    now = await clock(database)
    status_flow = expected("pipeline_status", now, every_minutes=5)
    await seed(database, [status_flow], [ran("pipeline_status", now - minutes * MINUTE, seconds=0)])
    await known(database, "pipeline_status", "healthy", None, at=now - timedelta(days=1))
    await judge_times(database, 1)
    assert bool(await turns(database, "pipeline_status")) == is_told


async def test_a_silence_after_runs_that_failed_is_noted_as_well(database: AsyncEngine) -> None:
    now = await clock(database)
    failures = [ran("pipeline_status", now - number * 5 * MINUTE, "failure") for number in (4, 5, 6)]
    succeeded = ran("pipeline_status", now - 40 * MINUTE)
    await seed(database, [expected("pipeline_status", now, every_minutes=5)], [succeeded, *failures])
    # The first that failed after a quarter of an hour without a success has noted that.
    await known(database, "pipeline_status", "healthy", None, at=now - 25 * MINUTE)
    await judge_times(database, 3)
    silence, _ = await told(database, "pipeline_status")
    assert silence.at == failures[0].completed_at


async def test_an_alarm_that_ended_during_a_silence_gets_its_end(database: AsyncEngine) -> None:
    now = await once_overdue(database)
    back = [ran(NEWS, now - number * 15 * MINUTE) for number in range(1, 4)]
    await seed(
        database,
        [expected("pipeline_status", now, every_minutes=5)],
        [*back, ran("pipeline_status", now - 60 * MINUTE), ran("pipeline_status", now, "running")],
    )
    await judge_times(database, 2)
    (change,) = await told(database)
    assert (change.from_status, change.to_status, change.at) == ("unhealthy", "healthy", now - 45 * MINUTE)


async def test_the_status_flow_does_not_complain_about_itself(database: AsyncEngine) -> None:
    now = await once_healthy(database, MINUTE)
    await seed(database, rows=[ran("pipeline_status", now - number * MINUTE / 10, "failure") for number in range(5)])
    await judge_times(database, 3)
    assert await turns(database, "pipeline_status") == []
