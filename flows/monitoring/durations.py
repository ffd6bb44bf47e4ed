"""Lengths of time in words, the same wherever they are read."""

from itertools import pairwise

_WHOLE_UNITS = {60.0: "minute", 3_600.0: "hour", 86_400.0: "day", 604_800.0: "week"}
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Tell a length of time, no more exact than of use: `0.4 s`, `42 s`, `3 min 5 s`, `47 min`, `3 h 5 min`, `12 d`."""
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds) if seconds < 600 else int(seconds) // 60 * 60
    for (unit, size), (smaller, smaller_size) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def every(seconds: float) -> str:
    """Say how often something is due: `every 15 min`, `every hour`."""
    return f"every {_WHOLE_UNITS.get(seconds) or duration(seconds)}"
