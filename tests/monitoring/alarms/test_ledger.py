"""Each incident that a receiver was given is closed once what it told is over, whatever happened in between."""

import json
import random
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.database.engine import create_engine
from flows.monitoring.alarms.silences import lift, silence
from flows.monitoring.jobs.registry import retire_jobs
from flows.monitoring.tables import ExecutionLog
from flows.settings import Settings
from tests.monitoring.alarms.working import NEWS, settings, told, work
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, ran_every, seed
from tests.support.fake_prefect import FakePrefect
from tests.support.internet import Answer, Request, running_internet
from tests.support.receiver import Receiver

OFF = {"feature": "off", "explanation": "The plan has no stories."}
DATA, ALL = "pagerduty://datakey@apikey", "pagerduty://allkey@apikey"


class PagerDuty:
    """Its API: the incidents that are open, by the key of who was given them, and how often somebody was paged."""

    def __init__(self) -> None:
        self.open: dict[str, set[str]] = {"datakey": set(), "allkey": set()}
        self.refuses: set[str] = set()
        """Integrations that take nothing, and job names of which none does."""
        self.given = 0

    def answer(self, request: Request) -> Answer:
        asked = request.json
        key = asked["routing_key"]
        if self.refuses & {key, asked["payload"]["component"]}:
            return Answer(429, "too many")
        if asked["event_action"] == "trigger":
            self.given += asked["dedup_key"] not in self.open[key]
            self.open[key].add(asked["dedup_key"])
        else:
            self.open[key].discard(asked["dedup_key"])
        return Answer(202, json.dumps({"status": "success"}))

    @property
    def count(self) -> tuple[int, int]:
        """How many incidents are open at the owner's and at the default receiver."""
        return len(self.open["datakey"]), len(self.open["allkey"])


class Pipeline:
    """One job, and what the status flow makes of it."""

    def __init__(self, engine: AsyncEngine, with_settings: Settings, now: datetime) -> None:
        self.engine, self.settings, self.now = engine, with_settings, now
        self.job: dict[str, Any] = {"expectations": {"owner": "data"}}

    async def begin(self) -> None:
        await seed(self.engine, [expected("pipeline_status", self.now, every_minutes=5)])
        await seed(self.engine, rows=ran_every("pipeline_status", self.now, 5, 3))
        await self.becomes("healthy")

    async def becomes(self, what: str) -> None:
        """The job is like that, and two status flows have seen it, as that takes two."""
        rows = {
            "healthy": [ran(NEWS, self.now - 6 * MINUTE)],
            "off": [ran(NEWS, self.now - 6 * MINUTE, details=OFF)],
            "failing": [ran(NEWS, self.now - number * MINUTE, "failure") for number in (6, 7, 8)],
            "failing while off": [
                *(ran(NEWS, self.now - number * MINUTE, "failure") for number in (6, 7, 8)),
                ran(NEWS, self.now - 9 * MINUTE, details=OFF),
            ],
            "overdue": [ran(NEWS, self.now - 40 * MINUTE)],
        }
        async with self.engine.begin() as connection:
            log = table_of(ExecutionLog)
            await connection.execute(delete(log).where(log.c.job_name == NEWS))
        await seed(
            self.engine,
            [expected(NEWS, self.now, paused=what == "paused", **self.job)],
            rows.get(what, rows["healthy"]),
        )
        if what == "removed":
            async with self.engine.begin() as connection:
                await retire_jobs(connection, [NEWS], self.now)
        await self.looks()

    async def looks(self) -> None:
        async with FakePrefect().client() as client:
            await work(client, self.engine, self.settings, times=2)

    async def silenced(self, *, is_silenced: bool) -> None:
        async with self.engine.begin() as connection:
            if is_silenced:
                await silence(connection, [NEWS], until=self.now + timedelta(days=1), reason="moving house")
            else:
                await lift(connection, [NEWS])


@pytest.fixture
def pagerduty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PagerDuty]:
    service = PagerDuty()
    with running_internet(tmp_path, service.answer) as internet:
        for name, value in internet.environment.items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def pipeline(engine: AsyncEngine) -> Pipeline:
    for_both = settings(None, notification=ALL, notification_by_owner={"data": DATA})
    pipeline = Pipeline(engine, for_both, await clock(engine))
    await pipeline.begin()
    return pipeline


async def test_a_warning_is_closed_after_an_outage_came_on_top(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    open_after: list[tuple[int, int]] = []
    for what in ("off", "failing while off", "off", "failing", "healthy"):
        await pipeline.becomes(what)
        open_after.append(pagerduty.count)
    assert open_after == [(1, 0), (2, 0), (1, 0), (2, 0), (0, 0)]


async def test_a_warning_is_closed_with_its_job(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    for end in ("paused", "removed"):
        await pipeline.becomes("off")
        assert pagerduty.count == (1, 0)
        await pipeline.becomes(end)
        assert pagerduty.count == (0, 0)


async def test_the_default_hears_the_end_of_what_another_refused(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    pagerduty.refuses = {"datakey"}
    await pipeline.becomes("overdue")
    assert pagerduty.count == (0, 1)
    pagerduty.refuses = set()
    await pipeline.looks()
    assert pagerduty.count == (1, 1)
    await pipeline.becomes("healthy")
    assert pagerduty.count == (0, 0)


async def test_an_owner_who_gave_the_job_away_hears_its_end(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    await pipeline.becomes("overdue")
    pipeline.job = {"expectations": {"owner": "others"}}
    await pipeline.becomes("healthy")
    assert pagerduty.count == (0, 0)


async def test_what_a_refusing_receiver_took_is_closed(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    other = "poll_stories"
    pipeline.job = {}
    await seed(pipeline.engine, [expected(other, pipeline.now)], [ran(other, pipeline.now - 40 * MINUTE)])
    pagerduty.refuses = {other}
    await pipeline.becomes("overdue")
    assert pagerduty.count == (0, 1)
    # Nobody was told of it, as the message was refused: its end alone would be news of nothing.
    await pipeline.becomes("paused")
    pagerduty.refuses = set()
    await pipeline.looks()
    assert [key.split(":")[1] for key in pagerduty.open["allkey"]] == [other]


async def test_people_hear_once_that_a_warning_is_over(engine: AsyncEngine, everybody: Receiver) -> None:
    pipeline = Pipeline(engine, settings(everybody), await clock(engine))
    await pipeline.begin()
    for what in ("off", "failing while off", "healthy", "healthy"):
        await pipeline.becomes(what)
    assert [subject.partition(" after ")[0] for subject in told(everybody)] == [
        "poll_news has run without a result",
        "poll_news has been failing",
        "poll_news recovered",
    ]


async def test_no_history_leaves_an_incident_open(pagerduty: PagerDuty, pipeline: Pipeline) -> None:
    chance = random.Random(0)  # noqa: S311  # no secret
    for _ in range(12):
        pagerduty.refuses = {key for key in pagerduty.open if chance.random() < 0.3}
        pipeline.job = {"expectations": {"owner": chance.choice(["data", "others"])}}
        await pipeline.silenced(is_silenced=chance.random() < 0.3)
        await pipeline.becomes(
            chance.choice(["healthy", "off", "failing", "failing while off", "overdue", "paused", "removed"])
        )
    pagerduty.refuses = set()
    await pipeline.becomes("healthy")
    assert pagerduty.given
    assert pagerduty.count == (0, 0)
