"""What forking needs of Prefect's inside, in one place: the same in 3.8.8 and 3.9.1, and looked at before it is used.

Prefect starts a process at one point, `run_process` in its module `_starter_engine`, which that module's documentation
names as the one to replace. What is started there first is a supervisor: it executes the deployment's pull steps,
writes down for the hooks what they need (the manifest), and becomes the engine.
"""

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import anyio.abc

_SUPERVISOR = "prefect.runner._workspace_supervisor"
_NEEDED = {
    "prefect.context": ("refresh_global_settings_context",),
    "prefect.logging.configuration": ("PROCESS_LOGGING_CONFIG", "setup_logging"),
    "prefect.runner._starter_engine": ("EngineCommandStarter", "run_process"),
    "prefect.runner._workspace_resolver": ("PreparedWorkspace",),
    "prefect.runner._workspace_runtime": (
        "PreparedWorkspaceManifest", "WorkspaceSupervisorConfig", "read_model", "write_private_model",
    ),
    "prefect.runner._workspace_runtime_bootstrap": (),
    "prefect.runner._workspace_starter": ("workspace_environment",),
    _SUPERVISOR: (),
    "prefect.utilities.engine": ("_prefect_sigterm_handler",),
}  # fmt: skip
_CONFIGURATION = {"flow_run_id", "workspace_root", "manifest_path", "command"}
_MANIFEST = {"working_directory", "project_root", "runtime_entrypoint", "hook_command", "environment"}


class RunProcess(Protocol):
    """Starts a process, says so, and returns once it has ended: `prefect.utilities.processutils.run_process`."""

    async def __call__(
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
        """Call `task_status.started(task_status_handler(process))` when there is a process with a `pid`."""
        ...


def why_unsupported() -> str | None:
    """Return why no run can be forked on this machine or with this Prefect, or None."""
    if sys.platform != "linux":
        return f"forking is for Linux, and this is {sys.platform}"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"this kernel has no pidfd_open ({error})"
    for module, names in _NEEDED.items():
        try:
            found = import_module(module)
        except ImportError as error:
            return f"this Prefect starts its runs in another way ({error})"
        for name in names:
            if not hasattr(found, name):
                return f"this Prefect starts its runs in another way ({module} has no {name})"
    return _why_other_shape()


def _why_other_shape() -> str | None:
    from prefect.runner._starter_engine import EngineCommandStarter
    from prefect.runner._workspace_runtime import PreparedWorkspaceManifest, WorkspaceSupervisorConfig

    if "run_process" not in EngineCommandStarter.start.__code__.co_names:
        return "this Prefect starts its runs in another way (not by run_process)"
    for model, fields in ((WorkspaceSupervisorConfig, _CONFIGURATION), (PreparedWorkspaceManifest, _MANIFEST)):
        if set(model.model_fields) != fields:
            return f"this Prefect starts its runs in another way ({model.__name__} has other fields)"
    return None


@contextmanager
def replaced(run_process: RunProcess) -> Generator[None]:
    """Let Prefect's worker start its runs with `run_process`."""
    module: Any = import_module("prefect.runner._starter_engine")
    original = module.run_process
    module.run_process = run_process
    try:
        yield
    finally:
        module.run_process = original


def supervised(command: list[str]) -> Path | None:
    """Return the supervisor's configuration file if that is what `command` starts, else None."""
    is_supervisor = command[1:-1] == ["-m", _SUPERVISOR]
    return Path(command[-1]) if is_supervisor else None


def engine_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return what the supervisor would make of its `environment` for an engine in `folder`."""
    from prefect.runner._workspace_resolver import PreparedWorkspace
    from prefect.runner._workspace_starter import workspace_environment

    workspace = PreparedWorkspace(
        workspace_root=folder,
        working_directory=folder,
        runtime_entrypoint="",
        environment=dict(environment),
        sys_path=[],
    )
    return workspace_environment(workspace)


def write_manifest(configuration: Path, *, folder: Path, entrypoint: str, environment: dict[str, str]) -> None:
    """Write what the hooks need to run in a process of their own, where `configuration` says."""
    from prefect.runner import _workspace_runtime_bootstrap
    from prefect.runner._workspace_runtime import (
        PreparedWorkspaceManifest,
        WorkspaceSupervisorConfig,
        read_model,
        write_private_model,
    )

    manifest = PreparedWorkspaceManifest(
        working_directory=folder,
        runtime_entrypoint=entrypoint,
        hook_command=[sys.executable, _workspace_runtime_bootstrap.__file__, "hook"],
        environment=environment,
    )
    write_private_model(read_model(configuration, WorkspaceSupervisorConfig).manifest_path, manifest)
