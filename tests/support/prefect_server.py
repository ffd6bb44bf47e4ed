"""Real Prefect servers, workers and commands for the end-to-end tests: each in a process group of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx

from deployments.server.environments import client_environment, server_settings
from tests.support.ports import free_port

PROJECT_ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")
LONGEST_PAUSE_SECONDS = 1.0
# At every second, as many tests would like it, a waiting worker and its server cost a seventh of a core.
WORKER_QUERIES = {"PREFECT_WORKER_QUERY_SECONDS": "2"}
# A template's database has its tables and block types: each start without them is several seconds shorter.
FROM_TEMPLATE = {
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
}


def wait_until(condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Ask `condition` until it is true. Return what it said. Fail after `seconds`, naming what was awaited.

    What takes long is asked for less and less often: a server that answers has less time for its work.
    """
    began = time.monotonic()
    while True:
        if answer := condition():
            return answer
        if (waited := time.monotonic() - began) > seconds:
            raise AssertionError(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(min(0.2 + waited / 20, LONGEST_PAUSE_SECONDS))


@dataclass
class Process:
    """A started process and where its output goes."""

    popen: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Signal the process alone."""
        self.popen.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to the process and all its children at once, as when a machine goes."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=10)

    def stop(self) -> None:
        """SIGTERM, a while for an orderly end, then SIGKILL to what is left of the group."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=15)
        self.kill_group()


@dataclass
class PrefectServer:
    """A Prefect server on SQLite in `folder`, with everything that talks to it. It can be stopped and started again."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list[Process])
    server: Process | None = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def all_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **client_environment(api_url=self.api_url, home=self.folder / "home"),
            **self.environment,
        }

    def start(self) -> None:
        self.server = self.spawn(
            "server", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port),
            environment={**server_settings(), **FROM_TEMPLATE, **self.environment},
        )  # fmt: skip

        def answers() -> bool:
            assert self.server is not None
            assert self.server.popen.poll() is None, self.server.output()
            with suppress(httpx.HTTPError):
                return httpx.get(f"{self.api_url}/health", timeout=2, verify=False).is_success
            return False

        wait_until(answers, seconds=180, what="the Prefect server")

    def spawn(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path = PROJECT_ROOT,
        python: Path = Path(sys.executable),
    ) -> Process:
        """Start `python arguments…` in `folder`, in a process group of its own."""
        log = self.folder / f"{name}-{len(self.processes)}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [python, *arguments],
                env={**self.all_environment(), **(environment or {})},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def start_worker(self, pool: str, name: str = "worker") -> Process:
        """Start `vibecheck worker`, which forks its runs: each costs a tenth of what Prefect's own start of it does."""
        return self.spawn(
            name, "-m", "deployments", "worker", "--pool", pool, "--name", name,
            environment={**WORKER_QUERIES, **self.environment},
        )  # fmt: skip

    def command(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `python -m arguments…` as a user would. Return its output."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env={**self.all_environment(), "COLUMNS": "200", "NO_COLOR": "1"},
            cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done

    def api(self, path: str, **body: Any) -> Any:
        """POST to the server's API and return the decoded answer."""
        return self._ask("POST", path, body)

    def change(self, path: str, **body: Any) -> None:
        """PATCH what the server's API has at `path`."""
        self._ask("PATCH", path, body)

    def delete(self, path: str) -> None:
        """DELETE what the server's API has at `path`."""
        self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        def answered() -> httpx.Response | None:
            response = httpx.request(method, f"{self.api_url}/{path}", json=body, timeout=30, verify=False)
            # While its own services hold SQLite's lock, the server asks to be asked again, as Prefect's client does.
            return None if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE else response

        response = wait_until(answered, seconds=60, what=f"an answer of the server to {method} {path}")
        response.raise_for_status()
        return response.json() if response.content else None

    def process_of_run(self, flow_run_id: str) -> int | None:
        """The id of the process that executes a run on this machine.

        A forked run's is called after it; one that Prefect itself starts has the run in its environment.
        """
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_forked = (entry / "comm").read_text() == f"run {flow_run_id[:8]}\n"
                if is_forked or f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode() in (entry / "environ").read_bytes():
                    return int(entry.name)
        return None

    def flow_runs(self, **flow_run_filter: Any) -> list[dict[str, Any]]:
        return self.api("flow_runs/filter", flow_runs=flow_run_filter, sort="EXPECTED_START_TIME_ASC")

    def is_running(self) -> bool:
        return self.server is not None and self.server.popen.poll() is None

    def stop_all_but_server(self) -> None:
        for process in reversed(self.processes):
            if process is not self.server:
                process.stop()

    def stop_all(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def make_template(folder: Path) -> None:
    """Let a server make its database in `folder / "home"`, a PREFECT_HOME to copy."""
    server = PrefectServer(folder, dict.fromkeys(FROM_TEMPLATE, "true"))
    try:
        server.start()
    finally:
        server.stop_all()


@contextmanager
def running_prefect(folder: Path, template: Path, environment: Mapping[str, str]) -> Generator[PrefectServer]:
    """A started server whose files are in `folder`, from the migrated `template`; everything is stopped afterwards."""
    shutil.copytree(template, folder / "home")
    server = PrefectServer(folder, dict(environment))
    try:
        server.start()
        yield server
    finally:
        server.stop_all()
