"""`drain` and `resume`: what counts as going, and what they say when they cannot do it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter, HTTPException
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State
from prefect.states import AwaitingRetry, Running, Scheduled

from deployments.commands.drain import run_drain, run_resume
from deployments.failures import CommandFailed
from flows.settings import Settings
from tests.support.served_prefect import serving

SETTINGS = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]  # pydantic's


class Server:
    """A server with the work pools of prefect.yaml and the runs that a test gives it."""

    def __init__(self) -> None:
        self.pools = {"vibecheck": False, "vibecheck-status": False}
        self.runs: list[FlowRun] = []
        self.ends_what_was_seen = False

    def add_run(self, state: State, *, retry_type: Any = None) -> None:
        policy = FlowRunPolicy(retry_type=retry_type)
        self.runs.append(
            FlowRun(id=uuid4(), flow_id=uuid4(), state=state, state_name=state.name, empirical_policy=policy)
        )

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.patch("/work_pools/{name}", status_code=204)
        def update_pool(name: str, body: dict[str, Any]) -> None:
            if name not in self.pools:
                raise HTTPException(404)
            self.pools[name] = body["is_paused"]

        @router.post("/flow_runs/filter")
        def filter_runs(body: dict[str, Any]) -> Any:
            wanted = body["flow_runs"]["state"]
            matches = any if wanted.get("operator") == "or_" else all
            found = [run.model_dump(mode="json") for run in self.runs if matches(_matches(run.state, wanted))]
            if self.ends_what_was_seen:
                self.runs.clear()
            return found

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


@pytest.mark.parametrize(
    ("state", "retry_type"),
    [(Running(), None), (AwaitingRetry(), "in_process")],
    ids=["running", "waiting for its own retry"],
)
async def test_drain_waits_for_a_run_that_a_process_holds(
    server: Server, capsys: pytest.CaptureFixture[str], state: State, retry_type: str | None
) -> None:
    server.add_run(state, retry_type=retry_type)
    server.ends_what_was_seen = True
    assert await run_drain(settings=SETTINGS, patience=timedelta(minutes=1)) == 0
    assert "Waiting for 1 run(s)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "retry_type"),
    [(Scheduled(), None), (AwaitingRetry(), "reschedule")],
    ids=["planned", "asked for again by a person"],
)
async def test_drain_does_not_wait_for_a_run_that_no_worker_has(
    server: Server, capsys: pytest.CaptureFixture[str], state: State, retry_type: str | None
) -> None:
    server.add_run(state, retry_type=retry_type)
    assert await run_drain(settings=SETTINGS, patience=timedelta(seconds=30)) == 0
    assert "No run is going." in capsys.readouterr().out
    assert server.pools == {"vibecheck": True, "vibecheck-status": True}


@pytest.mark.parametrize("command", [run_drain, run_resume])
async def test_a_work_pool_that_is_not_there_is_named(server: Server, command: Any) -> None:
    del server.pools["vibecheck-status"]
    with pytest.raises(CommandFailed, match=r"^The server has no work pool 'vibecheck-status': `vibecheck apply`"):
        await command(settings=SETTINGS)


async def test_drain_says_that_runs_outlasted_its_patience(server: Server) -> None:
    server.add_run(Running())
    with pytest.raises(CommandFailed, match=r"still going after 0:00:00\.01"):
        await run_drain(settings=SETTINGS, patience=timedelta(milliseconds=10))
    assert server.pools == {"vibecheck": True, "vibecheck-status": True}
