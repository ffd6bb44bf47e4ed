"""Stopping a worker, or everything, loses no run."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.workers.process import ProcessWorker

from tests.support.prefect_server import WORKER_QUERIES, PrefectServer, Process, running_prefect, wait_until

pytestmark = pytest.mark.end_to_end

POOL = "vibecheck"
# A run that is going until the test lets it end.
FLOW = """
import asyncio, os
from pathlib import Path
from prefect import flow

@flow
async def held() -> None:
    Path("started").touch()
    while not Path("release").exists():
        await asyncio.sleep(0.1)
"""


@dataclass
class Held:
    """A server with one deployment, whose runs end when the test says so."""

    prefect: PrefectServer
    folder: Path
    deployment_id: str

    @property
    def polled_file(self) -> Path:
        return self.folder / "polled"

    def start_worker(self, *options: str) -> Process:
        worker = self.prefect.spawn(
            "worker", "-m", "deployments", "worker", "--pool", POOL, "--polled-file", str(self.polled_file), *options,
            # The client retries for a minute by itself: shortened, so that the test need not wait for that.
            environment={**WORKER_QUERIES, "PREFECT_CLIENT_MAX_RETRIES": "2"},
        )  # fmt: skip
        wait_until(self.polled_file.exists, seconds=60, what="the worker's first poll")
        return worker

    def ask_for_run(self) -> str:
        return self.prefect.api(f"deployments/{self.deployment_id}/create_flow_run")["id"]

    def state(self, run_id: str) -> str:
        (run,) = self.prefect.flow_runs(id={"any_": [run_id]})
        return run["state_type"]

    def wait_until_started(self) -> None:
        wait_until((self.folder / "started").exists, seconds=60, what="the run to start")

    def release(self) -> None:
        (self.folder / "release").touch()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_template: Path) -> Iterator[PrefectServer]:
    with running_prefect(tmp_path_factory.mktemp("server"), prefect_template, {}) as prefect:
        template = ProcessWorker.get_default_base_job_template()
        for pool in (POOL, "vibecheck-status"):
            prefect.api("work_pools/", name=pool, type="process", base_job_template=template)
        yield prefect


@pytest.fixture
def held(server: PrefectServer, tmp_path: Path) -> Iterator[Held]:
    """A deployment of this test's own, on the module's server, which runs again if the last test has killed it."""
    if not server.is_running():
        server.start()
    # This test's worker must not find a run that the last one's has left.
    for run in server.flow_runs():
        server.delete(f"flow_runs/{run['id']}")
    (tmp_path / "held.py").write_text(FLOW)
    deployment = server.api(
        "deployments/", name=tmp_path.name, flow_id=server.api("flows/", name="held")["id"], work_pool_name=POOL,
        entrypoint="held.py:held",
        job_variables={"working_dir": str(tmp_path), "env": {"PREFECT_CLIENT_MAX_RETRIES": "5"}},
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}],
    )  # fmt: skip
    yield Held(server, tmp_path, deployment["id"])
    server.stop_all_but_server()


def test_a_worker_told_to_stop_ends_after_the_run_it_has(held: Held) -> None:
    worker = held.start_worker()
    running = held.ask_for_run()
    held.wait_until_started()

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "worker_draining" in worker.output(), seconds=30, what="the worker to drain")
    refused = held.ask_for_run()
    # Draining is not a reason to be restarted: the file stays fresh although nothing is polled.
    asked_at = time.time()
    wait_until(lambda: held.polled_file.stat().st_mtime > asked_at, seconds=30, what="a sign of life while draining")
    assert worker.popen.poll() is None
    assert held.state(running) == "RUNNING"

    held.release()
    assert worker.popen.wait(timeout=60) == 0, worker.output()
    assert held.state(running) == "COMPLETED"
    assert held.state(refused) == "SCHEDULED"


def test_two_workers_share_runs_and_execute_each_once(held: Held) -> None:
    first, _second = (held.start_worker("--limit", "1") for _ in range(2))
    runs = [held.ask_for_run() for _ in range(2)]
    wait_until(lambda: all(held.state(run) == "RUNNING" for run in runs), seconds=60, what="two runs at once")
    first.signal(signal.SIGTERM)
    held.release()
    assert first.popen.wait(timeout=60) == 0, first.output()
    wait_until(lambda: all(held.state(run) == "COMPLETED" for run in runs), seconds=60, what="the end of all runs")
    assert {run["run_count"] for run in held.prefect.flow_runs()} == {1}


@pytest.mark.leaves("child process")  # the server that it starts again is the module's
def test_a_worker_and_its_run_outlive_a_server_that_goes_away(held: Held) -> None:
    worker = held.start_worker()
    running = held.ask_for_run()
    held.wait_until_started()

    server = held.prefect.server
    assert server is not None
    server.kill_group()
    wait_until(lambda: "prefect_server_unavailable" in worker.output(), seconds=110, what="an unanswered poll")
    assert worker.popen.poll() is None
    held.prefect.start()
    held.release()

    wait_until(lambda: held.state(running) == "COMPLETED", seconds=90, what="the run to complete")
    after = held.ask_for_run()
    wait_until(lambda: held.state(after) == "COMPLETED", seconds=90, what="the next run to complete")
    worker.signal(signal.SIGTERM)
    assert worker.popen.wait(timeout=60) == 0, worker.output()


def test_a_worker_whose_server_never_answered_stops_when_told(held: Held) -> None:
    server = held.prefect.server
    assert server is not None
    server.kill_group()
    worker = held.prefect.spawn("worker", "-m", "deployments", "worker", "--pool", POOL)
    wait_until(lambda: "worker_starting" in worker.output(), seconds=30, what="the worker to start")

    worker.signal(signal.SIGTERM)

    assert worker.popen.wait(timeout=20) is not None


def test_drain_waits_for_runs_and_lets_none_start_until_resume(held: Held) -> None:
    worker = held.start_worker()
    running = held.ask_for_run()
    held.wait_until_started()

    impatient = held.prefect.command("deployments", "drain", "--timeout", "1s", check=False)
    assert impatient.returncode == 1
    assert "still going" in impatient.stderr

    held.release()
    drained = held.prefect.command("deployments", "drain")
    assert "No run is going." in drained.stdout
    assert held.state(running) == "COMPLETED"

    kept_back = held.ask_for_run()
    polls = held.polled_file.stat().st_mtime
    wait_until(lambda: held.polled_file.stat().st_mtime > polls + 2, seconds=30, what="polls of the paused pool")
    assert held.state(kept_back) == "SCHEDULED"

    held.prefect.command("deployments", "resume")
    wait_until(lambda: held.state(kept_back) == "COMPLETED", seconds=90, what="the run that was kept back")
    worker.signal(signal.SIGTERM)
    assert worker.popen.wait(timeout=60) == 0
