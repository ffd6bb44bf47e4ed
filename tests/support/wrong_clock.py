"""Processes whose clock is wrong, by libfaketime where this machine has it."""

from pathlib import Path


def wrong_clock(by: str) -> dict[str, str] | None:
    """Return what a process needs in its environment to be wrong `by` ("+9m", "-6s"); None without libfaketime.

    How long things take is as it is.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        return None
    return {"LD_PRELOAD": str(library), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
