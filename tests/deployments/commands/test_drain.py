"""`drain` and `resume`: what counts as going, and what they say when they cannot do it."""

from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter, HTTPException
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State, WorkPool
from prefect.states import AwaitingRetry, Running, Scheduled
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.drain import run_drain, run_resume
from deployments.commands.silence import run_silence
from deployments.failures import CommandFailed
from flows.database.engine import create_engine
from flows.monitoring.alarms.silences import active_silences, silence
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, seed_healthy
from tests.support.served_prefect import serving

JOBS = {"poll_news": "vibecheck", "poll_stories": "vibecheck", "pipeline_status": "vibecheck-status"}


class Server:
    """A server with the deployments and the work pools of prefect.yaml, and the runs that a test gives it."""

    def __init__(self) -> None:
        self.pools = {"vibecheck": False, "vibecheck-status": False}
        self.runs: list[FlowRun] = []
        self.ends_what_was_seen = False
        self.events: list[dict[str, Any]] = []
        self.asked_pools: list[str] = []

    def add_run(self, state: State, *, retry_type: Any = None) -> None:
        policy = FlowRunPolicy(retry_type=retry_type)
        self.runs.append(
            FlowRun(id=uuid4(), flow_id=uuid4(), state=state, state_name=state.name, empirical_policy=policy)
        )

    def router(self) -> APIRouter:
        router = APIRouter()
        flows = {str(uuid4()): name for name in JOBS}

        @router.post("/work_pools/filter")
        def read_pools() -> Any:
            pools = [WorkPool(id=uuid4(), name=name, type="process", default_queue_id=uuid4()) for name in self.pools]
            return [pool.model_dump(mode="json") for pool in pools]

        @router.post("/deployments/filter")
        def read_deployments() -> Any:
            return [
                {
                    "id": str(uuid4()), "name": "scheduled", "flow_id": id_, "work_pool_name": JOBS[name],
                    "tags": ["monitored"], "paused": False, "schedules": [],
                }
                for id_, name in flows.items()
            ]  # fmt: skip

        @router.post("/flows/filter")
        def read_flows() -> Any:
            return [{"id": id_, "name": name} for id_, name in flows.items()]

        @router.patch("/work_pools/{name}", status_code=204)
        def update_pool(name: str, body: dict[str, Any]) -> None:
            if name not in self.pools:
                raise HTTPException(404)
            self.pools[name] = body["is_paused"]

        @router.post("/flow_runs/filter")
        def filter_runs(body: dict[str, Any]) -> Any:
            wanted = body["flow_runs"]["state"]
            if wanted.get("operator") == "or_":
                self.asked_pools = body["work_pools"]["name"]["any_"]
            matches = any if wanted.get("operator") == "or_" else all
            found = [run.model_dump(mode="json") for run in self.runs if matches(_matches(run.state, wanted))]
            if self.ends_what_was_seen and wanted.get("operator") == "or_":
                self.runs.clear()
            return found

        @router.post("/flows/count")
        def count_flows() -> int:
            return 0

        @router.get("/automations/related-to/{resource}")
        def timers(resource: str) -> Any:
            trigger = {"type": "event", "posture": "Proactive", "within": 900, "id": str(uuid4())}
            trigger |= {"match": {"prefect.resource.id": "vibecheck.job.pipeline_status"}}
            trigger |= {"after": ["vibecheck.job.expected"], "expect": ["vibecheck.job.expected"]}
            return [{"id": str(uuid4()), "name": resource, "trigger": trigger, "actions": []}]

        @router.post("/events")
        def take_events(body: list[dict[str, Any]]) -> None:
            self.events += body

        return router


def _matches(state: State | None, wanted: dict[str, Any]) -> Iterator[bool]:
    assert state is not None
    if wanted.get("type"):
        yield state.type.value in wanted["type"]["any_"]
    if wanted.get("name"):
        yield state.name in wanted["name"]["any_"]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with serving(server.router()):
        yield server


@pytest.fixture
def settings(sqlite_url: str) -> Settings:
    return Settings.model_validate({"database_url": sqlite_url})


@pytest.mark.parametrize(
    ("state", "retry_type"),
    [(Running(), None), (AwaitingRetry(), "in_process")],
    ids=["running", "waiting for its own retry"],
)
async def test_drain_waits_for_a_run_that_a_process_holds(
    server: Server, settings: Settings, capsys: pytest.CaptureFixture[str], state: State, retry_type: str | None
) -> None:
    server.add_run(state, retry_type=retry_type)
    server.ends_what_was_seen = True
    assert await run_drain(settings=settings, patience=timedelta(minutes=1)) == 0
    assert "Waiting for 1 run(s)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "retry_type"),
    [(Scheduled(), None), (AwaitingRetry(), "reschedule")],
    ids=["planned", "asked for again by a person"],
)
async def test_drain_does_not_wait_for_a_run_that_no_worker_has(
    server: Server, settings: Settings, capsys: pytest.CaptureFixture[str], state: State, retry_type: str | None
) -> None:
    server.add_run(state, retry_type=retry_type)
    assert await run_drain(settings=settings, patience=timedelta(seconds=30)) == 0
    assert "No run is going." in capsys.readouterr().out
    assert server.pools == {"vibecheck": True, "vibecheck-status": True}


@pytest.mark.parametrize("command", [run_drain, run_resume])
async def test_a_work_pool_that_is_not_there_is_named(server: Server, settings: Settings, command: Any) -> None:
    with pytest.raises(CommandFailed, match=r"no work pool 'typo'\. It has: vibecheck, vibecheck-status\."):
        await command(["vibecheck", "typo"], settings=settings)
    assert server.pools == {"vibecheck": False, "vibecheck-status": False}
    server.pools = {"theirs": False}
    with pytest.raises(CommandFailed, match=r"no work pool 'vibecheck' and no 'vibecheck-status'\. It has: theirs\."):
        await command(settings=settings)


@pytest.mark.parametrize(
    ("names", "every", "meant"),
    [
        ([], False, ["vibecheck", "vibecheck-status"]),
        (["theirs"], False, ["theirs"]),
        (["vibecheck", "theirs"], False, ["theirs", "vibecheck"]),
        ([], True, ["theirs", "vibecheck", "vibecheck-status"]),
    ],
)
async def test_drain_and_resume_say_which_work_pools_they_mean(
    server: Server,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    every: bool,
    meant: list[str],
) -> None:
    server.pools["theirs"] = False
    await run_drain(names, every=every, settings=settings)
    assert sorted(name for name, paused in server.pools.items() if paused) == sorted(server.asked_pools) == meant
    await run_resume(names, every=every, settings=settings)
    assert not any(server.pools.values())
    said = " ".join(capsys.readouterr().out.split())
    for verb in ("Paused", "Resumed"):
        assert f"{verb} the work pool{'s' if len(meant) > 1 else ''} {' and '.join(meant)}" in said


@pytest.mark.usefixtures("server")
async def test_names_and_all_work_pools_together_are_refused(settings: Settings) -> None:
    with pytest.raises(CommandFailed, match="not both"):
        await run_drain(["vibecheck"], every=True, settings=settings)


async def test_only_the_jobs_of_the_paused_pools_are_silenced(
    server: Server, settings: Settings, engine: AsyncEngine
) -> None:
    await run_drain(["vibecheck"], settings=settings)
    assert set(await silenced_until(engine)) == {"poll_news", "poll_stories"}
    assert server.events == []


async def test_drain_says_that_runs_outlasted_its_patience(server: Server, settings: Settings) -> None:
    server.add_run(Running())
    with pytest.raises(CommandFailed, match=r"still going after 0:00:00\.01"):
        await run_drain(settings=settings, patience=timedelta(milliseconds=10))
    assert server.pools == {"vibecheck": True, "vibecheck-status": True}


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(sqlite_url)
    await seed_healthy(engine)
    yield engine
    await engine.dispose()


async def silenced_until(engine: AsyncEngine) -> dict[str, datetime | None]:
    async with engine.begin() as connection:
        return {row.job_name: row.until for row in await active_silences(connection)}


async def test_nobody_is_told_of_a_planned_stop_for_its_time(
    server: Server, settings: Settings, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_drain(duration=timedelta(hours=2), settings=settings) == 0
    assert "Nobody is told of their jobs until" in capsys.readouterr().out
    now = await clock(engine)
    until = await silenced_until(engine)
    assert set(until) == {"pipeline_status", "poll_news", "poll_stories"}
    assert all(each is not None and each - now > 119 * MINUTE for each in until.values())
    # The server's timer of 15 minutes is led to its new beginning, by steps that are shorter than it.
    occurred = [datetime.fromisoformat(event["occurred"]) for event in server.events]
    assert {event["event"] for event in server.events} == {"vibecheck.job.expected"}
    assert occurred[-1] - occurred[0] == timedelta(hours=2)
    assert max(after - before for before, after in pairwise(occurred)) < 10 * MINUTE


async def test_a_silence_of_the_status_flow_holds_the_servers_timer(
    server: Server, settings: Settings, engine: AsyncEngine
) -> None:
    for_hours, why = timedelta(hours=2), "moving house"
    assert await run_silence(["poll_news"], duration=for_hours, reason=why, settings=settings) == 0
    assert server.events == []  # the server has no timer of it
    assert await run_silence(["pipeline_status"], duration=for_hours, reason=why, settings=settings) == 0
    occurred = [datetime.fromisoformat(event["occurred"]) for event in server.events]
    assert occurred[-1] - occurred[0] == for_hours
    assert set(await silenced_until(engine)) == {"poll_news", "pipeline_status"}


@pytest.mark.usefixtures("server")
async def test_after_resume_people_are_told_once_each_job_could_run(settings: Settings, engine: AsyncEngine) -> None:
    await run_drain(duration=timedelta(hours=2), settings=settings)
    assert await run_resume(settings=settings) == 0
    now = await clock(engine)
    minutes = {name: until and round((until - now) / MINUTE) for name, until in (await silenced_until(engine)).items()}
    assert minutes == {"pipeline_status": 15, "poll_news": 25, "poll_stories": 70}


@pytest.mark.usefixtures("server")
async def test_a_silence_of_somebody_else_outlasts_resume(settings: Settings, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await silence(connection, ["poll_news"], until=None, reason="moving house")
    await run_drain(duration=timedelta(hours=2), settings=settings)
    await run_resume(settings=settings)
    async with engine.begin() as connection:
        reasons = [row.reason for row in await active_silences(connection) if row.job_name == "poll_news"]
    assert reasons == ["moving house", "planned stop (vibecheck drain)"]


@pytest.mark.usefixtures("server")
async def test_drain_works_without_the_database(capsys: pytest.CaptureFixture[str]) -> None:
    away = Settings.model_validate({"database_url": "postgresql+asyncpg://nobody@127.0.0.1:9/none"})
    assert await run_drain(settings=away) == 0
    assert "people may be told of it" in capsys.readouterr().out
    assert await run_resume(settings=away) == 0
