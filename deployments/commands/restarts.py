"""A process of `up` that ends by itself is started again, after growing pauses; one that keeps ending ends `up`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.commands.processes import Child
from deployments.failures import CommandFailed
from flows.monitoring.verdicts.wording import clock

FIRST_PAUSE_SECONDS = 1.0
# The pauses double: half a minute of them in all.
MOST_RESTARTS = 5
# A process that has run for so long has started well.
WELL_AFTER_SECONDS = 60.0


class KeepsEnding(CommandFailed):
    """A process ended again and again, soon after each start; the text says which, how, and where its log is."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A process has ended by itself at `at`, and starts again at `again_at`."""

    name: str
    how_it_ended: str
    log: Path
    at: datetime
    again_at: datetime

    def in_words(self, now: datetime) -> str:
        """Say what happened to the process and will, with times in the timezone of `now`."""
        ended = f"{self.name} {self.how_it_ended} at {clock(self.at, now, with_seconds=True)}"
        begins = clock(self.again_at, now, with_seconds=True)
        again = f"was started again at {begins}" if self.again_at <= now else f"will be started again at {begins}"
        return f"{ended}; it {again}. Its log: {self.log}"


class Restarts:
    """Keeps the processes of one `up` running.

    `latest` holds what happened last to each that ended, by its name; `news` is set whenever something has happened.
    """

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.latest: dict[str, Restart] = {}
        self.news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def keeping(self, children: Sequence[Child]) -> AsyncGenerator[None]:
        """Start again what ends while the block runs."""
        self._tasks = [asyncio.create_task(self._keep(child)) for child in children]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise KeepsEnding if a process does."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        restarts = 0
        while True:
            watched_since = loop.time()
            await child.process.wait()
            if loop.time() - watched_since >= WELL_AFTER_SECONDS:
                restarts = 0
            self.news.set()
            if restarts == MOST_RESTARTS:
                raise KeepsEnding(
                    f"{child.name} keeps ending: it was started again {restarts} times, and {child.how_it_ended}. "
                    f"Its log: {child.log}"
                )
            pause = FIRST_PAUSE_SECONDS * 2**restarts
            restarts += 1
            now = datetime.now(UTC)
            self.latest[child.name] = Restart(
                name=child.name,
                how_it_ended=child.how_it_ended,
                log=child.log,
                at=now,
                again_at=now + timedelta(seconds=pause),
            )
            await asyncio.sleep(pause)
            await child.start()
            self.news.set()
