"""A job's name in a table: never cut, however narrow the terminal."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text


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
