"""Sides of a comparison, measured in turns, so that whatever else the machine does meets them all alike.

A benchmark's file is run once more for each side, in the side's checkout and environment, and asked for one case after
the other. In each round every side measures every case, and a ratio is one of two figures of the same round.
"""

import argparse
import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, cast

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("prefect", "sqlalchemy", "asyncpg", "httpx")

Measure = Callable[[str], Awaitable[float]]


@dataclass
class Side:
    """One side: its process, and what it measured of each case, a figure for each round."""

    name: str
    process: subprocess.Popen[str]
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def measure(self, case: str) -> None:
        """Let the side measure `case` once more. Raises RuntimeError if it cannot."""
        questions, answers = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)
        questions.write(case + "\n")
        questions.flush()
        if not (answer := answers.readline()):
            raise RuntimeError(f"{self.name} ended while it measured {case!r}: its last words are above.")
        self.figures.setdefault(case, []).append(json.loads(answer))


@contextmanager
def side(name: str, file: str, checkout: Path, environment: Mapping[str, str] | None = None) -> Generator[Side]:
    """The benchmark in `file` as the side `name`, with the code of `checkout` and its environment where it has one."""
    python = checkout / ".venv/bin/python"
    paths = os.pathsep.join((str(checkout.resolve()), str(ROOT)))
    process = subprocess.Popen(  # noqa: S603  # this project's own files
        [python if python.exists() else sys.executable, Path(file).resolve(), "--side", name],
        env={**os.environ, **(environment or {}), "PYTHONPATH": paths},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Side(name, process)
    finally:
        process.communicate()


def answer(measure: Measure) -> None:
    """Be a side: measure the cases that come in, one a line, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    # What the measured code prints is not an answer.
    os.dup2(2, 1)

    async def serve() -> None:
        for line in sys.stdin:
            answers.write(json.dumps(await measure(line.rstrip("\n"))) + "\n")
            answers.flush()

    asyncio.run(serve())


def module_of(*names: str) -> Any:
    """The first of these modules that the side's checkout has: what moved has another name in an earlier one."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return importlib.import_module(names[-1])


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options that all of these benchmarks have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--against", type=Path, help="an earlier checkout of this project, to be measured beside")
    options.add_argument("--json", type=Path, help="a file for all figures")
    options.add_argument("--side", help=argparse.SUPPRESS)
    return options


def in_turns(sides: Sequence[Side], cases: Sequence[str], rounds: int) -> None:
    """Let every side measure every case in each round, and once before, which does not count."""
    for number in range(rounds + 1):
        for case in cases:
            for one in sides if number % 2 else reversed(sides):
                one.measure(case)
    for one in sides:
        one.figures = {case: figures[1:] for case, figures in one.figures.items()}


def ratio(figures: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The median, the least and the most of the ratios of the figures of each round."""
    ratios = [one / other for one, other in zip(figures, others, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def table(title: str, unit: str, sides: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Print, for each case, the median of each side and the first side's ratio to each other; return it as well."""
    first, *others = sides
    say(f"{title}; {unit}, the ratio's median (least to most)")
    found: dict[str, Any] = {}
    for case, figures in sides[first].items():
        row: dict[str, Any] = {name: statistics.median(sides[name][case]) for name in sides if case in sides[name]}
        line = f"{case:34}" + "".join(f"  {name} {value:.4g}" for name, value in row.items())
        for other in others:
            if case in sides[other]:
                middle, least, most = row[f"ratio to {other}"] = ratio(figures, sides[other][case])
                line += f"  | {middle:.2f} x {other} ({least:.2f} to {most:.2f})"
        say(line)
        found[case] = row
    return found


def keep(file: Path | None, benchmark: str, sides: Sequence[Side], found: Mapping[str, Any]) -> None:
    """Write everything that was measured to `file`, if there is one."""
    if file is not None:
        document = {
            "benchmark": benchmark,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": sys.version.split()[0],
            "cores": os.cpu_count(),
            "versions": {name: _version(name) for name in VERSIONS},
            "figures": {one.name: one.figures for one in sides},
            "table": found,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
