"""The ways to run a flow that `benchmarks.run_starts` compares: each with a pool of its own, on one Prefect server."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.server.environments import WORKER_SETTINGS
from tests.database.postgresql_server import postgresql_server, run_statements
from tests.support.prefect_server import PrefectServer, running_prefect, wait_until
from tests.support.sandbox_server import running_sandbox

FLOWS = """
from prefect import flow
from flows.monitoring.log.hooks import monitored

@monitored
@flow(name="empty")
async def empty() -> None:
    pass

if __name__ == "__main__":
    empty.serve(name="serve")
"""
COLD = """
from deployments.commands import worker
from deployments.forking import starter
starter.why_unsupported = lambda: "the benchmark says so"
worker.without_tls = dict
from deployments.__main__ import run
run()
"""
STEP = {"prefect.deployments.steps.set_working_directory": {"directory": "."}}
ENTRYPOINTS = {"empty": "empty.empty", "poll_news": "flows.poll_news.poll_news"}
WORKERS = {
    "Prefect's worker": ["-m", "prefect", "worker", "start", "--type", "process", "--limit", "30", "--pool"],
    "vibecheck worker, cold": ["-c", COLD, "worker", "--limit", "30", "--pool"],
    "vibecheck worker, forked": ["-m", "deployments", "worker", "--limit", "30", "--pool"],
}
SERVE = "flow.serve()"
DATABASE = "vibecheck_run_starts"


@dataclass
class Measured:
    """One way to start runs, on a pool of its own, and what was measured of it."""

    name: str
    process: subprocess.Popen[bytes]
    deployments: dict[str, str]
    cpu_of_run: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    cpu_in_all: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    private_mb: dict[str, float] = field(default_factory=dict[str, float])
    idle_private_mb: float = 0.0
    pace: dict[str, Any] = field(default_factory=dict[str, Any])


@contextmanager
def installation(folder: Path) -> Generator[tuple[PrefectServer, list[Measured]]]:
    """A server, a sandbox, a migrated database and everything that is measured, ready for runs."""
    (folder / "home").mkdir()
    project = folder / "project"
    project.mkdir()
    (project / "empty.py").write_text(FLOWS)
    with running_sandbox() as sandbox, postgresql_server() as address, ExitStack() as stack:
        run_statements(address, f'DROP DATABASE IF EXISTS "{DATABASE}"', f'CREATE DATABASE "{DATABASE}"')
        url = address.set(database=DATABASE).render_as_string(hide_password=False)
        environment = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": url,
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "true",
            "ASKNEWS_API_URL": sandbox.base_url,
            "ASKNEWS_API_KEY": "ank_benchmark",
            "VIBECHECK_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'vibecheck.db'}",
            "VIBECHECK_REQUESTS_PER_SECOND": "100",
        }
        (folder / "server").mkdir()
        server = stack.enter_context(running_prefect(folder / "server", folder / "home", environment))
        server.command("deployments", "apply")
        pools = {name: f"pool-{number}" for number, name in enumerate(WORKERS)}
        yaml = {
            "deployments": [
                {"entrypoint": entrypoint, "work_pool": {"name": pool}}
                for entrypoint in ENTRYPOINTS.values()
                for pool in pools.values()
            ]
        }
        (project / "prefect.yaml").write_text(json.dumps(yaml))
        measured: list[Measured] = []
        for name, arguments in WORKERS.items():
            pool = pools[name]
            server.api("work_pools/", name=pool, type="process")
            process = stack.enter_context(started(server, project, [*arguments, pool]))
            polling = f"work_pools/{pool}/workers/filter"
            wait_until(lambda polling=polling: server.api(polling), seconds=90, what=f"a worker of {name}")
            deployments = {flow: deploy(server, flow, pool) for flow in ENTRYPOINTS}
            measured.append(Measured(name, process, deployments))
        process = stack.enter_context(started(server, project, ["empty.py"]))
        by_name = {"name": {"any_": ["serve"]}}
        (found,) = wait_until(
            lambda: server.api("deployments/filter", deployments=by_name), seconds=60, what="flow.serve()"
        )
        measured.append(Measured(SERVE, process, {"empty": found["id"]}))
        yield server, measured


@contextmanager
def started(server: PrefectServer, project: Path, arguments: Sequence[str]) -> Generator[subprocess.Popen[bytes]]:
    """A process in the project's folder, that is asked to end afterwards."""
    process = subprocess.Popen(  # noqa: S603  # our own commands
        [sys.executable, *arguments],
        env={**server.all_environment(), **WORKER_SETTINGS, "PREFECT_RUNNER_POLL_FREQUENCY": "5"},
        cwd=project, stdout=(project / f"{time.time_ns()}.log").open("wb"), stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()


def deploy(server: PrefectServer, flow: str, pool: str) -> str:
    """A deployment like those in prefect.yaml, without a schedule."""
    flow_id = server.api("flows/", name=flow)["id"]
    return server.api(
        "deployments/", name=pool, flow_id=flow_id, work_pool_name=pool, entrypoint=ENTRYPOINTS[flow],
        pull_steps=[STEP], job_variables={"working_dir": ".", "env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}},
    )["id"]  # fmt: skip
