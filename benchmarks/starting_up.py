"""What `vibecheck up` costs: `python -m benchmarks.starting_up [CHECKOUT…] [--rounds N] [--idle S] [--json FILE]`.

Each checkout (default: this one) is started in turn, in a new data directory, with the sandbox's news; several are
compared in one run. All of them use this environment's packages.

- ready: seconds until `up` has told other terminals where it is.
- first article: seconds until an article is stored.
- idle: CPU seconds a minute of `up` and each of its processes (and theirs), while no run goes; the server stands apart.
"""

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.support.prefect_server import PROJECT_ROOT, wait_until

TICK = 1 / os.sysconf("SC_CLK_TCK")
SERVER = "prefect-server"
STATEMENTS = {
    "articles": "SELECT count(*) FROM articles",
    "rows": "SELECT count(*) FROM scheduler_execution_log",
    "jobs done": "SELECT count(DISTINCT job_name) FROM scheduler_execution_log WHERE status = 'success'",
    "running": "SELECT count(*) FROM scheduler_execution_log WHERE status = 'running'",
}
JOBS = 3
# After the last run, so that its process has ended and its logs are sent.
SETTLING_SECONDS = 20


@dataclass
class Measured:
    """One checkout, and what was measured of it, a figure a round."""

    checkout: Path
    ready: list[float] = field(default_factory=list[float])
    first_article: list[float] = field(default_factory=list[float])
    cpu_until_article: list[float] = field(default_factory=list[float])
    idle: dict[str, list[float]] = field(default_factory=lambda: defaultdict[str, list[float]](list))

    def figures(self) -> dict[str, list[float]]:
        """What there is to show, by its title: a figure for each round."""
        found = {
            "ready, s": self.ready,
            "first article, s": self.first_article,
            "CPU until then, s": self.cpu_until_article,
        }
        if self.idle:
            others = [values for name, values in self.idle.items() if name != SERVER]
            found |= {f"idle, {name}, CPU s/min": values for name, values in sorted(self.idle.items())}
            found["idle, all but the server, CPU s/min"] = [sum(each) for each in zip(*others, strict=True)]
        return found


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[PROJECT_ROOT])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=60, help="seconds to look at the CPU for; 0 leaves that out")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    measured = [Measured(checkout.resolve()) for checkout in arguments.checkouts]
    for _ in range(arguments.rounds):
        for one in measured:
            measure(one, arguments.idle)
    show(measured)
    if arguments.json:
        figures = [{**one.__dict__, "checkout": one.checkout.name, "idle": dict(one.idle)} for one in measured]
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(one: Measured, idle_seconds: int) -> None:
    """Start `up` once, and note how long everything took."""
    with tempfile.TemporaryDirectory() as name:
        directory, database = Path(name, "data"), Path(name, "data", "sandbox.db")
        with running(one.checkout, directory) as process:
            began = time.monotonic()
            seen: dict[str, float] = {}

            def article_and_ready() -> bool:
                if "ready" not in seen and (directory / "environment").exists():
                    seen["ready"] = time.monotonic() - began
                if "article" not in seen and count(database, "articles"):
                    seen["article"] = time.monotonic() - began
                    one.cpu_until_article.append(sum(cpu_by_process(process.pid).values()))
                return len(seen) == 2

            wait_until(article_and_ready, seconds=300, what="a first article")
            one.ready.append(seen["ready"])
            one.first_article.append(seen["article"])
            if idle_seconds:
                wait_until(lambda: count(database, "jobs done") == JOBS, seconds=300, what="a success of each job")
                for process_name, cpu in idle_cpu(process.pid, database, idle_seconds).items():
                    one.idle[process_name].append(cpu)


@contextmanager
def running(checkout: Path, directory: Path) -> Generator[subprocess.Popen[bytes]]:
    """A started `up` of `checkout` on `directory`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASKNEWS_", "VIBECHECK_"))}
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "deployments", "up", "--port", str(free_port())],
        cwd=checkout, env={**environment, "VIBECHECK_DATA_DIRECTORY": str(directory)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)


def count(database: Path, what: str) -> int:
    """What `up` has stored so far: 0 before its database is migrated."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(STATEMENTS[what]).fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def idle_cpu(up: int, database: Path, seconds: int) -> dict[str, float]:
    """CPU seconds a minute of each process, over a time in which no run went."""
    while True:
        wait_until(lambda: not count(database, "running"), seconds=300, what="the end of the runs")
        rows = count(database, "rows")
        time.sleep(SETTLING_SECONDS)
        before = cpu_by_process(up)
        time.sleep(seconds)
        after = cpu_by_process(up)
        if count(database, "rows") == rows:
            return {name: (cpu - before.get(name, 0)) * 60 / seconds for name, cpu in after.items()}


def cpu_by_process(up: int) -> dict[str, float]:
    """CPU seconds so far of `up` and of each process that it has started, with those below them, alive or reaped."""
    stats: dict[int, tuple[int, float, float]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        own, reaped = (sum(map(int, fields[i : i + 2])) * TICK for i in (11, 13))
        stats[int(entry.name)] = (int(fields[1]), own, reaped)
    if up not in stats:
        return {}
    children = [pid for pid, (parent, _, _) in stats.items() if parent == up]
    # What `up` itself has reaped, such as a deployment, is its own cost.
    found = {"up": stats[up][1] + stats[up][2]}
    for child in children:
        members, seen = [child], 0.0
        for pid in members:
            seen += stats[pid][1] + stats[pid][2]
            members += [other for other, (parent, _, _) in stats.items() if parent == pid]
        found[name_of(child)] = found.get(name_of(child), 0.0) + seen
    return found


def name_of(pid: int) -> str:
    """What a process of `up` is called: as its log is, which is its output."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink().stem
    except OSError:
        return "ended"


def show(measured: list[Measured]) -> None:
    """Print the medians, and the ratios against the first checkout."""
    tables = [one.figures() for one in measured]
    for title, first in tables[0].items():
        columns: list[str] = []
        for table in tables:
            median, base = statistics.median(table.get(title, [0.0])), statistics.median(first)
            columns.append(f"{median:.2f}" + (f" ({median / base:.2f} x)" if base else ""))
        sys.stdout.write(f"{title:<40}" + "".join(f"{column:>18}" for column in columns) + "\n")


if __name__ == "__main__":
    main()
