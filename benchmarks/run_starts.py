"""What starting a run costs: `python -m benchmarks.run_starts [--rounds N] [--runs N] [--rivals FOLDER] [--json FILE]`.

On one Prefect server with PostgreSQL, side by side: Prefect's own worker; `vibecheck worker` with every run started as
Prefect starts it, which is what it was before there were forks (cold); `vibecheck worker` as it is (forked); and
`flow.serve()`. In each round every one of them executes the same number of runs, one after the other. And, with
`--rivals`, a folder whose .venv has APScheduler: an empty job of its scheduler, which starts no process.

- CPU of a run: user and system time of all processes that have ended below the worker, by the kernel's own account.
- CPU in all: the same, and the worker's, and the template's.
- private memory: the most that the run's process has had for itself, in a round of its own.
- pace: a number of empty runs, evenly spread over a minute; the time from when a run was due to its end.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import prefect

from benchmarks.processes import command_line, cpu_of_family, cpu_seconds, family, private_mb
from benchmarks.sides import in_turns, say, side
from benchmarks.ways_to_run import SERVE, Measured, installation
from tests.support.prefect_server import PrefectServer, wait_until

TODAY = "vibecheck worker, cold"


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=4, help="runs of each flow in a round")
    parser.add_argument("--pace", type=int, default=100, help="empty runs a minute that are to be forked")
    parser.add_argument("--pace-today", type=int, default=20, help="empty runs a minute for the other workers")
    parser.add_argument("--rivals", type=Path, help="a folder whose .venv has APScheduler")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        prefect_server, measured = stack.enter_context(installation(Path(name)))
        for _ in range(arguments.rounds):
            for one in measured:
                for flow in one.deployments:
                    measure_cpu(prefect_server, one, flow, arguments.runs)
        for one in measured:
            one.idle_private_mb = sum(private_mb(pid) for pid in family(one.process.pid))
            for flow in one.deployments:
                one.private_mb[flow] = measure_memory(prefect_server, one, flow)
        for one in measured:
            pace = arguments.pace if "forked" in one.name else arguments.pace_today
            if pace and one.name != SERVE:
                one.pace = measure_pace(prefect_server, one, pace)
    show(measured)
    if arguments.rivals:
        milliseconds = in_apscheduler(arguments.rivals, arguments.rounds)
        say(f"APScheduler: {statistics.median(milliseconds):.2f} CPU-ms an empty job, in the process that is there")
    if arguments.json:
        arguments.json.write_text(json.dumps(document(measured, arguments), indent=2) + "\n")


def execute(server: PrefectServer, one: Measured, flow: str, number: int) -> None:
    """Execute runs, one after the other, until each process has ended."""
    for _ in range(number):
        before = set(family(one.process.pid))
        run = server.api(f"deployments/{one.deployments[flow]}/create_flow_run", state={"type": "SCHEDULED"})
        wait_until(lambda run=run: ended(server, [run["id"]]), seconds=120, what=f"a run of {one.name}")
        wait_until(lambda before=before: not runs_of(one, before), seconds=60, what="its process's end")


def runs_of(one: Measured, before: set[int]) -> set[int]:
    """The processes that have come since `before`, but for Python's resource tracker, which `serve` keeps."""
    new = set(family(one.process.pid)) - before
    return {pid for pid in new if "resource_tracker" not in command_line(pid)}


def ended(server: PrefectServer, ids: Sequence[str]) -> list[dict[str, Any]] | None:
    """The runs, once all have ended. Raises RuntimeError if one did not complete."""
    runs = server.flow_runs(id={"any_": list(ids)})
    bad = [run["state"] for run in runs if run["state_type"] in {"FAILED", "CRASHED", "CANCELLED"}]
    if bad:
        raise RuntimeError(f"A run did not complete: {bad}")
    return runs if all(run["state_type"] == "COMPLETED" for run in runs) else None


def measure_cpu(server: PrefectServer, one: Measured, flow: str, number: int) -> None:
    """Note the CPU seconds of a run: the mean of `number`."""
    before = [cpu_seconds(pid) for pid in family(one.process.pid)]
    execute(server, one, flow, number)
    after = [cpu_seconds(pid) for pid in family(one.process.pid)]
    runs = sum(ended for _, ended in after) - sum(ended for _, ended in before)
    own = sum(own for own, _ in after) - sum(own for own, _ in before)
    one.cpu_of_run.setdefault(flow, []).append(runs / number)
    one.cpu_in_all.setdefault(flow, []).append((runs + own) / number)


def measure_memory(server: PrefectServer, one: Measured, flow: str) -> float:
    """The most private memory of a run's process, in MB."""
    known = set(family(one.process.pid))
    most = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.03):
            for pid in set(family(one.process.pid)) - known:
                most = max(most, private_mb(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    execute(server, one, flow, 1)
    over.set()
    watching.join()
    return most


def measure_pace(server: PrefectServer, one: Measured, number: int) -> dict[str, Any]:
    """Let `number` empty runs be due within a minute; how long after it was due has each ended, in seconds?"""
    start = datetime.now(UTC) + timedelta(seconds=15)
    path = f"deployments/{one.deployments['empty']}/create_flow_run"
    ids = [
        server.api(path, state={"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}})["id"]
        for due in (start + timedelta(seconds=60 * index / number) for index in range(number))
    ]
    its_pid, servers_pid = one.process.pid, server.server.popen.pid if server.server else 0
    before, server_before = cpu_of_family(its_pid), cpu_of_family(servers_pid)
    runs = wait_until(lambda: ended(server, ids), seconds=600, what="all runs")
    due_and_end = ([datetime.fromisoformat(run[name]) for name in ("expected_start_time", "end_time")] for run in runs)
    late = sorted((end - due).total_seconds() for due, end in due_and_end)
    return {
        "runs a minute": number,
        "end - due p50": statistics.median(late),
        "end - due p95": late[int(0.95 * (len(late) - 1))],
        "end - due max": late[-1],
        "worker CPU-s a run": (cpu_of_family(its_pid) - before) / number,
        "server CPU-s a run": (cpu_of_family(servers_pid) - server_before) / number,
    }


def in_apscheduler(rivals: Path, rounds: int) -> list[float]:
    """The CPU milliseconds of an empty job, the mean of many, for each round."""
    with side("APScheduler", str(Path(__file__).with_name("empty_job.py")), rivals) as one:
        in_turns([one], ["an empty job"], rounds)
        return one.figures["an empty job"]


def show(measured: Sequence[Measured]) -> None:
    """Print what was measured, and its ratio to today's worker."""
    today = next(one for one in measured if one.name == TODAY)
    say(f"Prefect {prefect.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    say(f"{'':26}{'flow':11}{'CPU-s a run':>12}{'spread':>14}{'x today':>9}{'in all':>8}{'x':>6}{'MB':>7}{'x':>6}")
    for one in measured:
        for flow, cpu in one.cpu_of_run.items():
            median, everything = statistics.median(cpu), statistics.median(one.cpu_in_all[flow])
            say(
                f"{one.name:26}{flow:11}{median:12.2f}{f'{min(cpu):.2f} to {max(cpu):.2f}':>14}"
                f"{median / statistics.median(today.cpu_of_run[flow]):9.2f}{everything:8.2f}"
                f"{everything / statistics.median(today.cpu_in_all[flow]):6.2f}"
                f"{one.private_mb[flow]:7.0f}{one.private_mb[flow] / today.private_mb[flow]:6.2f}"
            )
    for one in measured:
        paced = "".join(f"; {name} {value:.2f}" for name, value in one.pace.items())
        say(f"{one.name:26}idle: {one.idle_private_mb:.0f} MB private{paced}")


def document(measured: Sequence[Measured], arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that was measured, for a machine."""
    return {
        "prefect": prefect.__version__,
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": arguments.rounds,
        "runs": arguments.runs,
        "measured": [{key: value for key, value in vars(one).items() if key != "process"} for one in measured],
    }


if __name__ == "__main__":
    main()
