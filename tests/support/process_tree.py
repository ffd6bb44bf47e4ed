"""The processes below a process, as Linux tells them."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.prefect_server import Process


def kill_machine(worker: Process) -> None:
    """SIGKILL to the worker and everything that it has started, as when their machine goes."""
    # The flows are in sessions of their own: a kill of the worker's group would leave them alive.
    below = processes_below(worker.popen.pid)
    worker.kill_group()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processes_below(pid: int) -> list[int]:
    """The descendants of a process, parents before their children."""
    parents = {int(path.name): _parent_of(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found: list[int] = []
    generation = {pid}
    while generation := {child for child, parent in parents.items() if parent in generation}:
        found += generation
    return found


def command_lines() -> dict[str, bytes]:
    """The arguments of every process on this machine, by their file."""
    found: dict[str, bytes] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found[str(path)] = path.read_bytes()
    return found


def _parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None
