"""The files that a process was made from, and whether they are still the same."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

_Mark = tuple[int, int]


@dataclass(frozen=True)
class Sources:
    """The size and the time of change of each file, as they were when it was read. None: it did not exist."""

    marks: dict[str, _Mark | None]

    @classmethod
    def of_this_process(cls, more: Iterable[str] = ()) -> "Sources":
        """Note the files of all modules that are imported, and `more`."""
        modules = list(sys.modules.values())
        files = {file for module in modules if (file := getattr(module, "__file__", None)) is not None}
        return cls.of(files.union(more))

    @classmethod
    def of(cls, files: Iterable[str]) -> "Sources":
        """Note these files."""
        return cls({file: _mark(file) for file in files})

    def changed(self) -> str | None:
        """Return a file that is no longer what it was, or None."""
        return next((file for file, mark in self.marks.items() if _mark(file) != mark), None)

    def newer_than(self, time_ns: int) -> str | None:
        """Return a file that was changed at or after `time_ns` since the epoch, or None."""
        return next((file for file, mark in self.marks.items() if mark is not None and mark[0] >= time_ns), None)


def _mark(file: str) -> _Mark | None:
    try:
        found = os.stat(file)  # noqa: PTH116  # a thousand of them before each run: a Path costs three times as much
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
