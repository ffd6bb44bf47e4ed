"""The names of jobs: never cut in a table, however narrow the terminal; and one that no job has."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column
from rich.text import Text

from deployments.failures import CommandFailed
from flows.monitoring.verdicts.wording import listed


@dataclass(frozen=True)
class Name:
    """Broken behind its slash where it does not fit, and wherever it must where that is not enough."""

    name: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it for the width that there is."""
        fits = len(self.name) <= options.max_width
        yield Text(self.name if fits else self.name.replace("/", "/\n"), overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Ask for the whole width, and for that of the longer part at least."""
        least = max(len(part) for part in self.name.replace("/", "/\n").split("\n"))
        return Measurement(least, len(self.name)).with_maximum(options.max_width)


def name_column(title: str, names: Collection[str], width: int) -> Column:
    """Return a column for names in a table of this width: other columns give way, but for more than a half of it."""
    whole = max(map(len, [title, *names]))
    part = max(len(part) for name in [title, *names] for part in name.replace("/", "/\n").split("\n"))
    return Column(title, width=min(whole, max(part, width // 3), width // 2))


def check_known(names: Iterable[str], known: Collection[str]) -> None:
    """Raise CommandFailed if a name is not among those `known`, with the name that is closest."""
    if not (unknown := sorted(set(names) - set(known))):
        return
    close = [match for name in unknown for match in get_close_matches(name, known, n=1)]
    meant = f" Did you mean {', '.join(close)}?" if close else ""
    raise CommandFailed(
        f"No such job: {', '.join(unknown)}.{meant} The jobs are: {listed(sorted(known)) or 'none yet'}."
    )
