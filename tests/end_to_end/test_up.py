"""`vibecheck up`: the README's first command."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.prefect_server import PROJECT_ROOT, free_port, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(400)]


@dataclass
class Up:
    """A started `vibecheck up` and its data directory."""

    process: subprocess.Popen[bytes]
    directory: Path
    output: Path

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def closed_runs(self) -> set[tuple[str, str]]:
        """Job and status of every run whose row is closed."""
        database = self.directory / "sandbox.db"
        if not database.exists():
            return set()
        with closing(sqlite3.connect(database)) as connection:
            try:
                return set(connection.execute("SELECT job_name, status FROM scheduler_execution_log"))
            except sqlite3.OperationalError:
                return set()  # not migrated yet

    def successes(self) -> Counter[str]:
        """How many successful runs each job had."""
        query = "SELECT job_name FROM scheduler_execution_log WHERE status = 'success'"
        with closing(sqlite3.connect(self.directory / "sandbox.db")) as connection:
            return Counter(job for (job,) in connection.execute(query))

    def make_planned_runs_late(self) -> int:
        """Let ten minutes pass for the Prefect server, which must not be running. Gives how many runs are late now."""
        change = (
            "UPDATE flow_run SET expected_start_time = :then, next_scheduled_start_time = :then"
            " WHERE state_type = 'SCHEDULED'"
        )
        then = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%d %H:%M:%S.%f}"
        with closing(sqlite3.connect(self.directory / "sandbox-prefect" / "prefect.db")) as connection, connection:
            return connection.execute(change, {"then": then}).rowcount

    def processes(self) -> list[str]:
        """The command lines of all processes that work on the data directory, `up` itself left out."""
        found: list[str] = []
        for entry in Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.directory).encode() in environment and entry.name != str(self.process.pid) and command:
                found.append(command)
        return found


StartUp = Callable[[int], Up]


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[StartUp]:
    started: list[Up] = []

    def start(port: int) -> Up:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ASKNEWS_", "VIBECHECK_"))
        }
        environment["VIBECHECK_DATA_DIRECTORY"] = str(tmp_path / "data")
        output = tmp_path / f"up-{len(started)}.log"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments", "up", "--port", str(port)],
                cwd=PROJECT_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                start_new_session=True,
            )  # fmt: skip
        up = Up(process, tmp_path / "data", output)
        started.append(up)
        return up

    yield start
    for up in started:
        if up.process.poll() is None:
            # The second signal stops at once.
            up.process.send_signal(signal.SIGINT)
            up.process.send_signal(signal.SIGTERM)
            up.process.wait(timeout=30)


def test_both_polls_run_at_once_and_ctrl_c_leaves_no_process_and_the_next_up_goes_on(start_up: StartUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start_up(port)
        expected = {("poll_news", "success"), ("poll_stories", "success"), ("pipeline_status", "success")}
        wait_until(lambda: up.closed_runs() >= expected, seconds=240, what="a success of each job")
    assert f"Port {port} is taken" in up.text()
    assert "sandbox" in up.text()
    assert re.search(r"Prefect UI\s+file://\S+/prefect-ui.html \(signs you in at http://127.0.0.1:\d+\)", up.text())

    told = re.search(r"Prefect's\s+source (\S+)", up.text())
    assert told is not None
    status = subprocess.run(
        ["bash", "-c", f"source {told[1]} && {sys.executable} -m deployments verify"],
        cwd=PROJECT_ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert status.returncode == 0, status.stdout
    assert "poll_news" in status.stdout

    second = start_up(free_port())
    assert second.process.wait(timeout=60) == 1
    assert "running already" in second.text()

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=120) == 0
    assert up.processes() == []
    before = up.successes()

    # What was due meanwhile must not take the slots that the start-up runs need.
    assert up.make_planned_runs_late() > 3
    again = start_up(free_port())

    def jobs_went_on() -> bool:
        successes = again.successes()
        return all(successes[job] > before[job] for job in ("poll_news", "poll_stories", "pipeline_status"))

    wait_until(jobs_went_on, seconds=240, what="a success of each of the second start's own runs")
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(timeout=120) == 0
    assert again.processes() == []
