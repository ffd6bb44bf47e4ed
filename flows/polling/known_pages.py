"""How long AskNews' pages are: what earlier runs noted in the database, and what this run learns of each page."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import reading
from flows.polling.feeds import Feed
from flows.polling.storage.full_pages import (
    last_plan,
    note_full_page,
    note_longest_page,
    read_full_page,
    read_longest_page,
)


@dataclass
class KnownPages:
    """The lengths of pages that hold for one AskNews plan, in rows."""

    plan: str = ""
    """The plan, as far as AskNews' answers tell it: what is known of its pages holds for no other."""
    full: int | None = None
    """The fewest rows of a page that was followed by another one, as far as is known: a shorter one is the last."""
    longest: int = 0
    """The most rows of any page, as far as is known: no cap is below that."""
    _noted: set[int] = field(default_factory=set[int])

    async def recall(self, engine: AsyncEngine, feed: Feed[Any], now: datetime, plan: str | None = None) -> None:
        """Take over what is noted of the pages of `plan`, by default the last one that was seen."""
        async with reading(engine) as connection:
            self.plan = (await last_plan(connection, feed.endpoint) or "") if plan is None else plan
            asked = (self.plan, feed.endpoint, feed.page_size, now)
            self.full = await read_full_page(connection, *asked)
            self.longest = await read_longest_page(connection, *asked)
        self._noted.clear()

    async def note(
        self, connection: AsyncConnection, feed: Feed[Any], now: datetime, *, followed: int | None, rows: int
    ) -> None:
        """Note that a page of `rows` came after a full one of `followed`; while none is known, note the longest.

        Each once a run.
        """
        known = (self.plan, feed.endpoint, feed.page_size)
        if followed is not None:
            if followed not in self._noted:
                await note_full_page(connection, *known, followed, now)
                self._noted.add(followed)
        elif self.full is None and 0 < rows >= self.longest:
            await note_longest_page(connection, *known, rows, now)

    def learn(self, *, followed: int | None, rows: int) -> None:
        """Take in what a stored page has shown, as `note` does."""
        self.full = shorter(self.full, followed)
        self.longest = max(self.longest, rows)


def shorter(one: int | None, other: int | None) -> int | None:
    """Return the fewer rows of two full pages, as far as they are known."""
    return min((each for each in (one, other) if each is not None), default=None)
