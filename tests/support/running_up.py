"""A `vibecheck up` that runs for tests, with the sandbox, in a data directory of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.support.prefect_server import PROJECT_ROOT, wait_until

FOREIGN = "http://elsewhere.example"


@dataclass
class RunningUp:
    """A started `vibecheck up`: its process, its data directory, and where its output goes."""

    process: subprocess.Popen[bytes]
    directory: Path
    output: Path

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.text()
            return (self.directory / "environment").exists()

        wait_until(is_ready, seconds=240, what="the start of `up`")

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def ports(self) -> dict[str, int]:
        """The ports, by what listens there."""
        return json.loads((self.directory / "ports.json").read_text())

    @property
    def port(self) -> int:
        """The Prefect server's."""
        return self.ports["Prefect server"]

    def ask(self, method: str, path: str, *, body: Any = None, **headers: str) -> httpx.Response:
        """Send what a browser would send for a foreign page, whose own host name points here (DNS rebinding)."""
        sent = {"Host": f"elsewhere.example:{self.port}", "Origin": FOREIGN, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            content=content,
            headers={**sent, **changed},
            timeout=60,
            verify=False,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours as in another terminal, which knows the data directory and nothing else."""
        return subprocess.run(
            [sys.executable, "-m", "deployments", *arguments],
            cwd=PROJECT_ROOT, env={"PATH": os.environ["PATH"], "VIBECHECK_DATA_DIRECTORY": str(self.directory)},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def rows(self) -> Counter[tuple[str, str]]:
        """How many rows each job has in the log, by job and status."""
        database = self.directory / "sandbox.db"
        if not database.exists():
            return Counter()
        with closing(sqlite3.connect(database)) as connection:
            try:
                return Counter(connection.execute("SELECT job_name, status FROM scheduler_execution_log"))
            except sqlite3.OperationalError:
                return Counter()  # not migrated yet

    def make_planned_runs_late(self) -> int:
        """Let ten minutes pass for the Prefect server, which must not be running. Return how many runs are late now."""
        change = (
            "UPDATE flow_run SET expected_start_time = :then, next_scheduled_start_time = :then"
            " WHERE state_type = 'SCHEDULED'"
        )
        then = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%d %H:%M:%S.%f}"
        with closing(sqlite3.connect(self.directory / "sandbox-prefect" / "prefect.db")) as connection, connection:
            return connection.execute(change, {"then": then}).rowcount

    def processes(self) -> dict[int, str]:
        """The command lines of all processes that work on the data directory, `up` itself left out."""
        found: dict[int, str] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.directory).encode() in environment and entry.name != str(self.process.pid) and command:
                found[int(entry.name)] = command
        return found

    def stop(self) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)


@contextmanager
def running_up(directory: Path, *options: str) -> Generator[RunningUp]:
    """A started `up`, which need not be ready yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASKNEWS_", "VIBECHECK_"))}
    output = directory.with_name(f"{directory.name}-{len(list(directory.parent.iterdir()))}.log")
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments", "up", *options],
            cwd=PROJECT_ROOT, env={**kept, "VIBECHECK_DATA_DIRECTORY": str(directory)}, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    up = RunningUp(process, directory, output)
    try:
        yield up
    finally:
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                up.stop()
            # The second signal stops at once.
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
