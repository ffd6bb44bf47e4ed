"""Whatever Prefect's server answers, at most the step that asked is not done, and the log is right afterwards."""

import json
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.monitoring.jobs.registry import read_jobs, schedule_history
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.rows import LogRow, rows_between
from flows.monitoring.prefect_answers import UnexpectedAnswer
from flows.monitoring.reconcile.repair import Repair, repair
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.report import Report
from flows.settings import Settings
from tests.support.fake_prefect import START, FakePrefect

MINUTE = timedelta(minutes=1)
JOBS = ("far", "near", "pipeline_status")
COPY, LOG = "copy the deployments", "reconcile the log"
# Who asks; what concerns one run or one work pool ends no step.
STEPS = {
    "/deployments/filter": {COPY},
    "/flows/filter": {COPY},
    "/flow_runs/filter": {COPY, LOG},
    "/flow_runs/count": {LOG},
    "/flow_runs/*-*": {LOG},
    "/events/filter": set[str](),
    "/automations/*": set[str](),
    "/work_pools/*": set[str](),
}
# What a row needs: the client makes up most of it where it is missing.
FIELDS = {
    "/deployments/filter": ("id", "flow_id", "name", "paused", "schedules", "tags"),
    "/flows/filter": ("id", "name"),
    "/flow_runs/filter": ("id", "flow_id", "deployment_id", "auto_scheduled", "run_count"),
}
ABSENT = object()
# A round takes as long as so many examples of other properties.
EXAMPLES_PER_ROUND = 5
TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0"), max_size=8)
ODD = st.recursive(
    st.sampled_from([None, True, 0, -1, 10**30, 1.5e308, float("nan"), "0001-01-01T00:00:00+14:00", "PAUSED"]) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NO_JSON = st.sampled_from([b"", b"<html>Sign in</html>", b"\xff\xfe", b"[" * 100_000, b'[{"id": "'])

Spoil = Callable[[Any], bytes]


@dataclass
class OddPrefect(FakePrefect):
    """A server whose answers at some addresses are spoilt."""

    odd_at: str = ""
    spoil: Spoil | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        response = super().answer(request)
        if self.spoil is None or response.is_error or not fnmatch(request.url.path, f"/api{self.odd_at}"):
            return response
        return httpx.Response(200, content=self.spoil(response.json()), headers={"date": response.headers["date"]})


@dataclass(frozen=True)
class World:
    """A server with all that a repair may find, and the file of the database that has seen a part of it."""

    prefect: OddPrefect
    file: Path
    closed: UUID
    wanted: object
    """What the database knows two rounds later, if all answers are right."""


@asynccontextmanager
async def database_in(file: Path) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(f"sqlite+aiosqlite:///{file}")
    try:
        yield engine
    finally:
        await engine.dispose()


async def status_flow(prefect: FakePrefect, database: AsyncEngine) -> tuple[Repair, Report]:
    async with prefect.client() as client:
        done = await repair(client, database, Settings())
    return done, await judge(database, Settings(), done.absent)


@pytest.fixture
async def world(sqlite_template: Path, tmp_path: Path) -> World:
    """Two jobs with runs that ended, go on, are lost and are late, and a tick without a run."""
    file = tmp_path / "world.db"
    shutil.copyfile(sqlite_template, file)
    prefect = OddPrefect(work_pools={"here": "READY", "there": "NOT_READY"})
    for job, pool in zip(JOBS, ("there", "here", "here"), strict=True):
        prefect.deploy(job, work_pool_name=pool)
    async with database_in(file) as database:
        await status_flow(prefect, database)
        due = START + 15 * MINUTE
        for job in ("far", "near"):
            closed = prefect.run(job, due)
            going = prefect.run(job, due + 15 * MINUTE, "RUNNING")
            prefect.run(job, due + 30 * MINUTE, "SCHEDULED", run_count=0)
            closing = Closing("success", due + MINUTE, "flow")
            async with database.begin() as connection:
                await record(connection, Fact(closed, job, due, 1, due, closing))
                await record(connection, Fact(going, job, due + 15 * MINUTE, 1, due + 15 * MINUTE))
        prefect.run("near", due, "SCHEDULED", run_count=0)
        prefect.run("far", due + 9 * MINUTE, "PENDING", run_count=0)
        prefect.run("far", due + MINUTE, "FAILED", auto_scheduled=False)
        # Later than the usual gap, so that nothing counts as lost in the first round.
        prefect.now = due + 16 * MINUTE
    well = deepcopy(prefect)
    async with database_in(shutil.copyfile(file, tmp_path / "well.db")) as database:
        for _ in range(2):
            await status_flow(well, database)
        return World(prefect, file, closed, await known_to(database))


async def log_of(database: AsyncEngine) -> dict[UUID, LogRow]:
    async with reading(database) as connection:
        rows = await rows_between(connection, JOBS, START - timedelta(days=1), START + timedelta(days=1))
    return {row.execution_id: row for row in rows}


async def known_to(database: AsyncEngine) -> object:
    """All that is to be as if nothing had happened; times at which a round noticed something are not."""
    async with reading(database) as connection:
        jobs = [
            (
                job.job_name,
                job.deployment_id,
                job.earlier_deployment_id,
                job.schedule,
                job.retired_at,
                job.lost_schedules,
            )
            for job in (await read_jobs(connection)).values()
        ]
        history = {name: len(entries) for name, entries in (await schedule_history(connection)).items()}
    rows = (await log_of(database)).values()
    return jobs, history, {(row.execution_id, row.job_name, row.scheduled_for, row.status, row.attempt) for row in rows}


def changed(answer: Any, picks: Sequence[int], value: object) -> Any:
    """The answer with another value at one place, which `picks` leads to."""
    if not picks or not answer or not hasattr(answer, "__setitem__"):
        return value
    keys: list[Any] = sorted(answer) if hasattr(answer, "keys") else list(range(len(answer)))
    key = keys[picks[0] % len(keys)]
    answer[key] = changed(answer[key], picks[1:], value)
    return answer


def changing(picks: Sequence[int], value: object) -> Spoil:
    return lambda answer: json.dumps(changed(answer, picks, value)).encode()


def cutting(share: float) -> Spoil:
    def cut(answer: Any) -> bytes:
        whole = json.dumps(answer).encode()
        return whole[: int(len(whole) * share)]

    return cut


def saying(content: bytes) -> Spoil:
    return lambda _answer: content


def lacking(place: tuple[str, str], value: object) -> tuple[str, Spoil]:
    """Where the first item of the answers has `value` in a field, or lacks it."""
    path, field = place

    def spoil(answer: list[dict[str, Any]]) -> bytes:
        first = {name: old for name, old in answer[0].items() if name != field} if answer else {}
        return json.dumps([first if value is ABSENT else {**first, field: value}, *answer[1:]]).encode()

    return path, spoil


def elsewhere(path: str, content: bytes) -> tuple[str, Spoil]:
    return path, saying(content)


ANY_ANSWER = (
    st.builds(changing, st.lists(st.integers(0, 40), max_size=5), ODD)
    | st.builds(cutting, st.floats(0, 1, exclude_max=True))
    | st.builds(saying, NO_JSON)
)
PLACES = [(path, field) for path, fields in FIELDS.items() for field in fields]
BROKEN = st.builds(lacking, st.sampled_from(PLACES), st.sampled_from([ABSENT, None, {}])) | st.builds(
    elsewhere, st.sampled_from(sorted(FIELDS)), NO_JSON
)
few = settings(
    max_examples=settings().max_examples // EXAMPLES_PER_ROUND,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@few
@given(path=st.sampled_from(sorted(STEPS)), spoil=ANY_ANSWER)
async def test_any_answer_ends_only_the_step_that_asked(world: World, path: str, spoil: Spoil) -> None:
    prefect = deepcopy(world.prefect)
    prefect.odd_at, prefect.spoil = path, spoil
    file = shutil.copyfile(world.file, world.file.with_name("odd.db"))
    async with database_in(file) as database:
        before = await log_of(database)
        done, _report = await status_flow(prefect, database)
        after = await log_of(database)
    assert set(done.failures) <= STEPS[path]
    assert {id_: row.job_name for id_, row in before.items()} == {id_: after[id_].job_name for id_ in before}
    assert after[world.closed].status == "success"


@few
@given(broken=BROKEN)
async def test_a_broken_answer_is_told_and_nothing_wrong_stays(world: World, broken: tuple[str, Spoil]) -> None:
    prefect = deepcopy(world.prefect)
    prefect.odd_at, prefect.spoil = broken
    async with database_in(shutil.copyfile(world.file, world.file.with_name("odd.db"))) as database:
        done, report = await status_flow(prefect, database)
        assert done.failures
        assert set(done.failures) <= STEPS[prefect.odd_at]
        assert all(isinstance(error, UnexpectedAnswer) for error in done.failures.values())
        assert set(report.jobs) == set(JOBS)
        prefect.spoil = None
        assert not (await status_flow(prefect, database))[0].failures
        assert await known_to(database) == world.wanted
