"""On any doubt a run starts as Prefect starts it; without one it is forked, and goes when its task is cancelled.

`true` stands for the Python of Prefect's own start, so that what starts cold ends at once.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from prefect.client.schemas.responses import DeploymentResponse
from prefect.runner._workspace_runtime import (
    PreparedWorkspaceManifest,
    WorkspaceSupervisorConfig,
    read_model,
    write_private_model,
)
from prefect.settings import get_current_settings
from structlog.testing import capture_logs

from deployments.forking import starter
from deployments.forking.forked_process import ForkedProcess
from deployments.forking.starter import PULL_STEP, Starter, warm_starts
from deployments.forking.templates import NotForked, Template, Templates, imported_environment

SUPERVISED = ["true", "-m", "prefect.runner._workspace_supervisor"]


class Asked(Templates):
    """Templates that start and fork nothing, and note what they were asked for."""

    def __init__(self) -> None:
        super().__init__(Path(), [])
        self.environments: list[Mapping[str, str]] = []
        self.prepared: list[Mapping[str, str]] = []
        self.is_closed = False

    async def prepare(self, environment: Mapping[str, str]) -> Template:
        self.prepared.append(environment)
        raise NotForked("asked too early")

    async def fork(self, environment: Mapping[str, str]) -> ForkedProcess:
        self.environments.append(environment)
        raise NotForked("asked")

    async def close(self) -> None:
        self.is_closed = True


class Process(ForkedProcess):
    """No process at all: it notes what it is told, and what is done with it."""

    def __init__(self) -> None:
        self.pid = 0
        self.requests: list[Mapping[str, object]] = []
        self.done: list[str] = []

    async def send(self, request: Mapping[str, object]) -> None:
        self.requests.append(request)

    async def wait(self) -> int:
        self.done.append("waited")
        return 0

    def kill(self) -> None:
        self.done.append("killed")

    def close(self) -> None:
        self.done.append("closed")


class Granting(Asked):
    """Templates that fork nothing, and answer with `process`."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process

    async def fork(self, environment: Mapping[str, str]) -> ForkedProcess:  # noqa: ARG002  # a template's
        return self.process


class Run:
    """One run of a worker in `folder`, which knows its deployment or does not."""

    def __init__(self, folder: Path, templates: Templates) -> None:
        self.folder = folder
        self.starter = Starter(templates, folder)
        self.id = uuid4()
        self.variables: dict[str, str] = {}
        self.prints = False
        self.command = [*SUPERVISED, str(folder / "supervisor.json")]
        self.deployment: DeploymentResponse | None = DeploymentResponse(
            id=uuid4(), name="scheduled", flow_id=uuid4(), entrypoint="job.run",
            pull_steps=[{PULL_STEP: {"directory": "."}}], labels={},
        )  # fmt: skip
        self.process: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def write_configuration(self) -> None:
        """Write down what Prefect's worker does for its supervisor."""
        configuration = WorkspaceSupervisorConfig(
            flow_run_id=self.id, workspace_root=self.folder, manifest_path=self.folder / "manifest.json", command=None
        )
        write_private_model(self.folder / "supervisor.json", configuration)

    async def execute(self) -> Any:
        """Execute it while its deployment is known, and return the process once it has ended."""
        with self.starter.knowing(self.id, self.deployment):
            return await self.start()

    async def start(self) -> Any:
        """Execute it in the environment that Prefect's worker makes, and return the process once it has ended."""
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        environment = {**os.environ, **settings, **self.variables, "PREFECT__FLOW_RUN_ID": str(self.id)}

        def handle(process: Any) -> Any:
            self.process.set_result(process)
            return process

        return await self.starter.run_process(
            self.command, env=environment, stream_output=self.prints, task_status=anyio.TASK_STATUS_IGNORED,
            task_status_handler=handle, cwd=self.folder,
        )  # fmt: skip

    async def reason_for_a_cold_start(self) -> str:
        """Execute it, and return why it was not forked."""
        with capture_logs() as events:
            process = await self.execute()
        assert process.returncode == 0
        (event,) = [event for event in events if event["event"] == "run_starts_cold"]
        assert event["flow_run_id"] == str(self.id)
        return event["reason"]


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def run(tmp_path: Path, asked: Asked) -> Run:
    return Run(tmp_path, asked)


async def test_without_a_doubt_a_template_is_asked(run: Run, asked: Asked) -> None:
    assert await run.reason_for_a_cold_start() == "asked"
    (environment,) = asked.environments
    assert environment["PREFECT__FLOW_ENTRYPOINT"] == "job.run"
    assert environment["PREFECT__FLOW_RUN_ID"] == str(run.id)


async def test_the_template_that_runs_will_ask_is_started_early(run: Run, asked: Asked) -> None:
    with capture_logs() as events:
        await run.starter.prepare()
    assert [(event["event"], event["reason"]) for event in events] == [("template_not_ready", "asked too early")]
    await run.execute()
    ((prepared,), (environment,)) = asked.prepared, asked.environments
    assert imported_environment(prepared) == imported_environment(environment)


async def test_a_command_of_its_own_starts_cold(run: Run, asked: Asked) -> None:
    run.command = ["true"]
    assert await run.reason_for_a_cold_start() == "the deployment has a command of its own"
    assert asked.environments == []


async def test_a_run_of_no_deployment_starts_cold(run: Run, asked: Asked) -> None:
    run.deployment = None
    assert await run.reason_for_a_cold_start() == "the run is of no deployment with an entrypoint"
    assert asked.environments == []


async def test_a_deployment_without_an_entrypoint_starts_cold(run: Run, asked: Asked) -> None:
    assert run.deployment is not None
    run.deployment.entrypoint = None
    assert await run.reason_for_a_cold_start() == "the run is of no deployment with an entrypoint"
    assert asked.environments == []


async def test_code_from_elsewhere_starts_cold(run: Run, asked: Asked) -> None:
    assert run.deployment is not None
    run.deployment.pull_steps = [{PULL_STEP: {"directory": "/srv/other"}}]
    assert await run.reason_for_a_cold_start() == "its code is in /srv/other"
    assert asked.environments == []


async def test_after_an_update_of_the_worker_runs_start_cold(
    tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "starter.py"
    code.touch()
    monkeypatch.setattr(starter, "__file__", str(code))
    run = Run(tmp_path, asked)
    code.write_text("VERSION = 2")
    assert await run.reason_for_a_cold_start() == f"{code} has changed: restart the worker"
    assert asked.environments == []


async def test_dependencies_to_install_start_cold(run: Run, asked: Asked) -> None:
    run.variables["PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"] = "true"
    assert await run.reason_for_a_cold_start() == "its dependencies are to be installed first"
    assert asked.environments == []


async def test_a_run_that_has_ended_is_forgotten(run: Run, asked: Asked) -> None:
    await run.execute()
    again = Run(run.folder, asked)
    again.starter, again.id = run.starter, run.id
    with capture_logs() as events:
        await again.start()
    assert [event["reason"] for event in events] == ["the run is of no deployment with an entrypoint"]


async def test_templates_end_with_their_worker(asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def made(_folder: Path, _modules: Sequence[str]) -> Asked:
        return asked

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starter, "Templates", made)
    async with warm_starts("vibecheck"):
        assert not asked.is_closed
    assert asked.is_closed


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def granted(tmp_path: Path, process: Process) -> Run:
    """A run that a template would fork."""
    run = Run(tmp_path, Granting(process))
    run.write_configuration()
    return run


@pytest.mark.parametrize("prints", [True, False])
async def test_a_forked_run_prints_if_its_worker_wants_it(granted: Run, process: Process, *, prints: bool) -> None:
    granted.prints = prints
    assert await granted.execute() is process
    (request,) = process.requests
    assert request["is_silent"] is not prints
    assert process.done == ["waited", "closed"]


async def test_a_forked_run_that_nobody_takes_goes_with_an_error(granted: Run, process: Process) -> None:
    granted.process.cancel()
    with pytest.raises(asyncio.InvalidStateError):
        await granted.execute()
    assert process.done == ["killed", "waited", "closed"]


async def test_a_run_without_what_its_hooks_need_is_given_up(granted: Run, process: Process) -> None:
    (granted.folder / "supervisor.json").unlink()
    with pytest.raises(FileNotFoundError):
        await granted.execute()
    assert process.done == ["closed"]
    assert not granted.process.done()


@pytest.fixture
async def forked(tmp_path: Path) -> AsyncIterator[Run]:
    """A run that a real template forks, with what Prefect's worker writes down for it."""
    (tmp_path / "job.py").write_text("")
    templates = Templates(tmp_path, ["job"])
    run = Run(tmp_path, templates)
    run.write_configuration()
    yield run
    await templates.close()


async def test_a_forked_run_leaves_its_hooks_what_they_need(forked: Run) -> None:
    # No server has this run: the engine says so, and ends.
    process = await forked.execute()
    assert process is await forked.process
    assert process.returncode == 1
    manifest = read_model(forked.folder / "manifest.json", PreparedWorkspaceManifest)
    assert (manifest.working_directory, manifest.runtime_entrypoint) == (forked.folder, "job.run")
    assert manifest.environment["PREFECT__FLOW_RUN_ID"] == str(forked.id)


async def test_a_forked_run_goes_with_its_cancelled_task(forked: Run) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(forked.execute)
        await asyncio.wait_for(asyncio.shield(forked.process), 60)
        group.cancel_scope.cancel()
    assert forked.process.result().returncode == -signal.SIGKILL
