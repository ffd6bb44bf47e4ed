"""Processes as the kernel sees them: who descends from whom, and what each has used."""

import os
from contextlib import suppress
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(member for child in children for member in family(int(child)))]
    return []


def cpu_seconds(pid: int) -> tuple[float, float]:
    """The CPU time of a process's own, and of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        return own * TICK, ended * TICK
    return 0.0, 0.0


def cpu_of_family(pid: int) -> float:
    """The CPU seconds so far of a process, and of all that descend from it."""
    return sum(sum(cpu_seconds(member)) for member in family(pid))


def private_mb(pid: int) -> float:
    """What the process has in memory that no other has."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
    return 0.0


def peak_mb(pid: int) -> float:
    """The most that the process has had in memory; in `ru_maxrss` would be what its parent had when it was started."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    return 0.0


def command_line(pid: int) -> str:
    """What a process was started with; nothing if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
