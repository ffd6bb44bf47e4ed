"""What a receiver refused, and another took: it is told once it is back. And ends that somebody brought about, and what
began in a silence.
"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine
from flows.monitoring.alarms.silences import lift, silence
from flows.monitoring.jobs.registry import retire_jobs
from flows.settings import Settings
from tests.monitoring.alarms.working import NEWS, overdue, settings, told, work
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, ran_every, seed
from tests.support.internet import Answer, Internet, running_internet
from tests.support.receiver import Receiver

pytestmark = pytest.mark.end_to_end

DATA = {"owner": "data"}


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


def for_both(everybody: Receiver, data: Receiver) -> Settings:
    return settings(everybody, notification_by_owner={"data": data.apprise_url})


async def test_what_another_took_is_told_when_its_receiver_is_back(
    client: PrefectClient, engine: AsyncEngine, everybody: Receiver, data: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    await seed(engine, [expected(NEWS, now, expectations=DATA)])
    data.status = 500
    await work(client, engine, for_both(everybody, data), times=3)
    assert (told(everybody), told(data), data.refused) == (["poll_news has been overdue"], [], 2)
    data.status = 200
    await work(client, engine, for_both(everybody, data), times=3)
    assert (told(everybody), told(data)) == (["poll_news has been overdue"], ["poll_news has been overdue"])
    assert "This receiver has refused all messages since" in data.bodies[0]


async def test_an_end_that_was_refused_is_told_in_the_alarms_place(
    client: PrefectClient, engine: AsyncEngine, everybody: Receiver, data: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    await seed(engine, [expected(NEWS, now, expectations=DATA)])
    data.status = 500
    await work(client, engine, for_both(everybody, data), times=2)
    await seed(engine, rows=[ran(NEWS, now - 6 * MINUTE)])
    await work(client, engine, for_both(everybody, data), times=2)
    data.status = 200
    await work(client, engine, for_both(everybody, data), times=3)
    assert told(everybody) == ["poll_news has been overdue", "poll_news recovered after 4 min"]
    assert told(data) == ["poll_news recovered after 4 min"]


async def test_the_servers_own_incident_ends_with_what_was_not_told(
    client: PrefectClient, engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await overdue(engine, NEWS)
    pagerduty = settings(None, notification="pagerduty://integrationkey@apikey")
    with running_internet(tmp_path, lambda _request: Answer(500)) as internet:
        for name, value in internet.environment.items():
            monkeypatch.setenv(name, value)
        await work(client, engine, pagerduty, times=2)
        internet.answer = lambda _request: Answer(202, '{"status": "success"}')
        before = len(internet.requests)
        await work(client, engine, pagerduty, times=2)
        assert sorted(actions(internet)[before:]) == [
            ("resolve", "vibecheck:server:staging"),
            ("trigger", f"vibecheck:{NEWS}"),
        ]


def actions(internet: Internet) -> list[tuple[str, str]]:
    """What PagerDuty was asked to do, and with which incident, without its beginning."""
    asked = [request.json for request in internet.requests]
    return [(each["event_action"], ":".join(each["dedup_key"].split(":")[:3]).split(":20")[0]) for each in asked]


@pytest.mark.parametrize("end", ["paused", "removed"])
async def test_an_outage_that_was_told_ends_with_its_job(
    client: PrefectClient, engine: AsyncEngine, everybody: Receiver, end: str
) -> None:
    now = await overdue(engine, NEWS)
    await work(client, engine, settings(everybody), times=2)
    if end == "paused":
        await seed(engine, [expected(NEWS, now, paused=True)])
    else:
        async with engine.begin() as connection:
            await retire_jobs(connection, [NEWS], now)
    await work(client, engine, settings(everybody), times=3)
    words = {
        "paused": "poll_news was paused after 10 min",
        "removed": "poll_news has not been watched, after 10 min of trouble",
    }
    assert told(everybody) == ["poll_news has been overdue", words[end]]
    assert everybody.accepted[-1].body.count("success")


async def test_a_warning_that_began_in_a_silence_is_told_when_that_ends(
    client: PrefectClient, engine: AsyncEngine, everybody: Receiver
) -> None:
    now = await clock(engine)
    off = {"feature": "off", "explanation": "No plan."}
    jobs = [expected(NEWS, now), expected("pipeline_status", now, every_minutes=5)]
    await seed(engine, jobs, [*ran_every("pipeline_status", now, 5, 3), *ran_every(NEWS, now, 15, 3, details=off)])
    async with engine.begin() as connection:
        await silence(connection, [NEWS], until=now + 60 * MINUTE, reason="moving house")
    await work(client, engine, settings(everybody), times=2)
    assert told(everybody) == []
    async with engine.begin() as connection:
        await lift(connection, [NEWS])
    await work(client, engine, settings(everybody), times=3)
    assert told(everybody) == ["poll_news has run without a result"]
    assert "No plan." in everybody.bodies[0]
