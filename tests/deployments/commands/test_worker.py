"""The worker and a server that is away, or answers with errors. How it executes runs, the end-to-end tests show."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Body, HTTPException, Response
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.settings import PREFECT_API_URL, PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.states import Scheduled
from structlog.testing import capture_logs

from deployments.commands.worker import Worker, drain, poll, run_worker
from deployments.failures import CommandFailed
from flows.settings import Settings
from tests.support.served_prefect import serving

POOL = "vibecheck"
PATIENCE_SECONDS = 30.0


class Server:
    """As much of a Prefect server as a worker asks: one run is due, and it may not start."""

    def __init__(self) -> None:
        self.run = FlowRun(id=uuid4(), name="due", flow_id=uuid4(), deployment_id=uuid4(), state=Scheduled())
        self.odd_fields: dict[str, Any] = {}
        self.deployment_status = 200
        self.proposed: list[str] = []
        self.ahead = timedelta(0)
        self.asked_until: list[datetime] = []

    def router(self) -> APIRouter:
        router = APIRouter()
        template = Worker.get_default_base_job_template()
        pool = WorkPool(id=uuid4(), name=POOL, type="process", default_queue_id=uuid4(), base_job_template=template)

        @router.get(f"/work_pools/{POOL}")
        def read_pool() -> Any:
            return pool.model_dump(mode="json")

        @router.post("/work_pools/filter")
        def read_pools() -> Any:
            return [pool.model_dump(mode="json")]

        @router.post(f"/work_pools/{POOL}/workers/heartbeat", status_code=204)
        def take_heartbeat() -> None:
            return None

        @router.post(f"/work_pools/{POOL}/get_scheduled_flow_runs")
        def due_runs(scheduled_before: Annotated[datetime, Body(embed=True)]) -> Any:
            self.asked_until.append(scheduled_before)
            run = self.run.model_dump(mode="json") | self.odd_fields
            return [{"work_pool_id": str(pool.id), "work_queue_id": str(uuid4()), "flow_run": run}]

        @router.post("/flows/count")
        def count_flows(response: Response) -> int:
            response.headers["date"] = format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)
            return 0

        @router.get("/deployments/{id_}")
        def read_deployment(id_: UUID) -> Any:
            if self.deployment_status != 200:
                raise HTTPException(self.deployment_status)
            return {"id": str(id_), "name": "scheduled", "flow_id": str(self.run.flow_id)}

        @router.post("/flow_runs/{_id}/set_state")
        def set_state(_id: UUID, body: dict[str, Any]) -> Any:
            self.proposed.append(body["state"]["type"])
            refusal = {"type": "abort_details", "reason": "The test wants no process."}
            return {"status": "ABORT", "details": refusal, "state": None}

        return router


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with serving(server.router()):
        yield server


@pytest.fixture(autouse=True)
def no_pause_between_polls() -> Iterator[None]:
    with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: 0.01}):
        yield


def make_worker() -> Worker:
    return Worker(work_pool_name=POOL, name="tested", limit=1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # neither a file nor a list of events can be awaited
            await asyncio.sleep(0.01)


async def test_a_worker_that_no_server_has_ever_answered_shows_no_life(tmp_path: Path) -> None:
    polled = tmp_path / "polled"
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), capture_logs() as events:
        async with make_worker() as worker:
            polling = asyncio.create_task(poll(worker, polled))
            await until(lambda: len(events) >= 3)
            polling.cancel()

    assert {event["event"] for event in events} == {"prefect_server_unavailable"}
    assert not polled.exists()


@pytest.mark.usefixtures("server")
async def test_a_worker_whose_poll_was_answered_shows_life(tmp_path: Path) -> None:
    polled = tmp_path / "polled"
    async with make_worker() as worker:
        polling = asyncio.create_task(poll(worker, polled))
        await until(polled.exists)
        polling.cancel()


async def test_a_worker_whose_poll_is_answered_with_nonsense_asks_again(server: Server) -> None:
    server.odd_fields = {"run_count": "often"}
    with capture_logs() as events:
        async with make_worker() as worker:
            polling = asyncio.create_task(poll(worker, None))
            await until(lambda: bool(events))
            assert "`get_scheduled_flow_runs_for_work_pool`" in events[0]["error"]
            server.odd_fields = {}
            await until(lambda: bool(server.proposed))
            polling.cancel()


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_worker_whose_clock_is_wrong_takes_no_run(server: Server, tmp_path: Path, hours: int) -> None:
    server.ahead = timedelta(hours=hours)
    polled = tmp_path / "polled"
    with capture_logs() as events:
        async with make_worker() as worker:
            worker.heartbeat_interval_seconds = 0  # it looks at its clock with each heartbeat
            polling = asyncio.create_task(poll(worker, polled))
            await until(lambda: len(events) >= 2)
            assert {event["event"] for event in events} == {"clock_is_wrong"}
            assert abs(events[0]["seconds_ahead_of_server"] + hours * 3600) < 60
            assert server.proposed == []
            assert not polled.exists()
            server.ahead = timedelta(0)
            await until(lambda: bool(server.proposed) and polled.exists())
            polling.cancel()


@pytest.mark.parametrize("minutes", [-9, 9])
async def test_a_worker_whose_clock_differs_by_minutes_takes_what_is_due(server: Server, minutes: int) -> None:
    server.ahead = timedelta(minutes=minutes)
    async with make_worker() as worker:
        polling = asyncio.create_task(poll(worker, None))
        await until(lambda: bool(server.proposed))
        polling.cancel()
    by_the_server = server.asked_until[0] - (datetime.now(UTC) + server.ahead)
    assert abs(by_the_server - timedelta(seconds=10)) < timedelta(seconds=PATIENCE_SECONDS), "as usual, 10 s ahead"


@pytest.mark.usefixtures("server")
async def test_a_work_pool_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"no work pool 'typo'\. It has: vibecheck\."):
        await run_worker(pool="typo", settings=Settings())


async def test_a_run_that_could_not_start_is_taken_by_the_next_poll(server: Server) -> None:
    async with make_worker() as worker:
        await worker.sync_with_backend()
        server.deployment_status = 500
        with capture_logs() as events:
            await worker.get_and_submit_flow_runs()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await drain(worker.limiter, None)
        assert {"run_not_submitted"} == {event["event"] for event in events if event["log_level"] == "error"}
        assert server.proposed == []

        server.deployment_status = 200
        await worker.get_and_submit_flow_runs()
    assert server.proposed == ["PENDING"]


async def test_a_run_whose_process_is_in_hand_is_not_taken_twice(server: Server) -> None:
    async with make_worker() as worker:
        await worker.sync_with_backend()
        worker.limiter.acquire_on_behalf_of_nowait(server.run.id)
        await worker.get_and_submit_flow_runs()
        worker.limiter.release_on_behalf_of(server.run.id)
    assert server.proposed == []


async def test_a_run_without_deployment_is_cancelled_and_drains(server: Server) -> None:
    async with make_worker() as worker:
        await worker.sync_with_backend()
        server.deployment_status = 404
        await worker.get_and_submit_flow_runs()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await drain(worker.limiter, None)
    assert server.proposed == ["CANCELLED"]
