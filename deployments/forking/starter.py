"""Where Prefect's worker starts a process, this decides how: forked from a template, or, on any doubt, as Prefect does.

Everything around it stays Prefect's: the run's environment, the control channel, cancellation, heartbeats, the
executor, and hooks in processes of their own.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import structlog
import yaml
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import get_current_settings
from prefect.utilities.processutils import run_process

from deployments.forking.forked_process import ForkedProcess
from deployments.forking.prefect_seam import engine_environment, replaced, supervised, why_unsupported, write_manifest
from deployments.forking.sources import Sources
from deployments.forking.templates import NotForked, Templates

PULL_STEP = "prefect.deployments.steps.set_working_directory"

logger = structlog.stdlib.get_logger()


class Starter:
    """Starts the runs of one worker."""

    def __init__(self, templates: Templates, folder: Path) -> None:
        """`templates` have `folder` as their working directory."""
        self._templates = templates
        self._folder = folder
        self._deployments: dict[str, DeploymentResponse | None] = {}
        self._own_code = Sources.of(str(file) for file in Path(__file__).parent.glob("*.py"))

    async def prepare(self) -> None:
        """Start the template for runs that have no environment of their own, so that the first finds it ready."""
        environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
        try:
            await self._templates.prepare(engine_environment(environment, self._folder))
        except NotForked as reason:
            logger.warning("template_not_ready", reason=str(reason), explanation="Runs start cold meanwhile.")

    @contextmanager
    def knowing(self, flow_run_id: UUID, deployment: DeploymentResponse | None) -> Generator[None]:
        """Note which deployment a run is of, while it is started and executed."""
        self._deployments[str(flow_run_id)] = deployment
        try:
            yield
        finally:
            del self._deployments[str(flow_run_id)]

    async def run_process(
        self,
        command: list[str],
        *,
        env: Mapping[str, str],
        stream_output: bool,
        task_status: anyio.abc.TaskStatus[Any],
        task_status_handler: Any,
        cwd: Path | None,
        **kwargs: Any,
    ) -> Any:
        """Execute a run in a process that is forked, or else started with `command`; return when it has ended."""
        try:
            process = await self._fork(command, env, cwd, is_silent=not stream_output)
        except NotForked as reason:
            logger.info("run_starts_cold", flow_run_id=env.get("PREFECT__FLOW_RUN_ID"), reason=str(reason))
            return await run_process(
                command,
                env=env,
                stream_output=stream_output,
                task_status=task_status,
                task_status_handler=task_status_handler,
                cwd=cwd,
                **kwargs,
            )
        try:
            task_status.started(task_status_handler(process))
            await process.wait()
        except BaseException:  # cancelled: as Prefect does, the process goes with its task
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
            raise
        finally:
            process.close()
        return process

    async def _fork(
        self, command: list[str], env: Mapping[str, str], cwd: Path | None, *, is_silent: bool
    ) -> ForkedProcess:
        flow_run_id = env["PREFECT__FLOW_RUN_ID"]
        deployment = self._deployments.get(flow_run_id)
        configuration = supervised(command)
        if configuration is None:
            raise NotForked("the deployment has a command of its own")
        if deployment is None or deployment.entrypoint is None:
            raise NotForked("the run is of no deployment with an entrypoint")
        if (doubt := why_elsewhere(deployment, cwd, self._folder)) is not None:
            raise NotForked(doubt)
        if (changed := self._own_code.changed()) is not None:
            raise NotForked(f"{changed} has changed: restart the worker")
        if installs_dependencies(env):
            raise NotForked("its dependencies are to be installed first")
        environment = engine_environment(env, self._folder)
        environment["PREFECT__FLOW_ENTRYPOINT"] = deployment.entrypoint
        process = await self._templates.fork(environment)
        try:
            write_manifest(
                configuration, folder=self._folder, entrypoint=deployment.entrypoint, environment=environment
            )
            await process.send({"environment": environment, "is_silent": is_silent})
        except BaseException:
            process.close()
            raise
        return process


def why_elsewhere(deployment: DeploymentResponse, cwd: Path | None, folder: Path) -> str | None:
    """Return why the code of `deployment` might be another than that in `folder`, or None.

    `cwd` is the folder in which Prefect would begin.
    """
    if deployment.storage_document_id is not None:
        return "its code is in a storage block"
    steps = deployment.pull_steps or []
    directory = steps[0].get(PULL_STEP, {}).get("directory") if len(steps) == 1 else None
    if not isinstance(directory, str) or set(steps[0]) != {PULL_STEP} or set(steps[0][PULL_STEP]) != {"directory"}:
        return f"its pull steps are others than one {PULL_STEP}"
    chosen = (Path(cwd or ".") / Path(directory).expanduser()).resolve()
    return None if chosen == folder else f"its code is in {chosen}"


def installs_dependencies(environment: Mapping[str, str]) -> bool:
    """Return whether Prefect may start the run through `uv run`."""
    name = "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"
    is_set = get_current_settings().runner.auto_install_dependencies
    return is_set or environment.get(name, "false").lower() not in {"", "0", "f", "false", "n", "no", "off"}


def flow_modules(prefect_file: Path, work_pool: str) -> list[str]:
    """Return the modules of the flows that `prefect_file` deploys to `work_pool`; none without such a file."""
    if not prefect_file.exists():
        return []
    try:
        content: dict[str, Any] = yaml.safe_load(prefect_file.read_text())
        entrypoints: list[str] = [
            deployment["entrypoint"]
            for deployment in content["deployments"]
            if deployment["work_pool"]["name"] == work_pool
        ]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        logger.warning("flows_not_imported", file=str(prefect_file), error_type=type(error).__name__, error=str(error))
        return []
    # An entrypoint with a colon names a file, which is executed by each run.
    return sorted({entrypoint.rpartition(".")[0] for entrypoint in entrypoints if ":" not in entrypoint})


@asynccontextmanager
async def warm_starts(work_pool: str) -> AsyncGenerator[Starter | None]:
    """Let the worker's runs be forked while the block lasts. Return None where that cannot be done, and logs why."""
    if (reason := why_unsupported()) is not None:
        logger.warning("all_runs_start_cold", reason=reason)
        yield None
        return
    folder = Path.cwd().resolve()
    templates = Templates(folder, flow_modules(folder / "prefect.yaml", work_pool))
    starter = Starter(templates, folder)
    with replaced(starter.run_process):
        preparing = asyncio.create_task(starter.prepare())
        try:
            yield starter
        finally:
            preparing.cancel()
            await templates.close()
