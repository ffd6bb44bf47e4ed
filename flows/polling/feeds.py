"""What a poll asks for and where it puts it: what the page loop needs to know of news or stories."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import Page
from flows.database.upserts import UpsertCounts
from flows.polling.windows import Window

T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """What became of a page's records, and for each of them the entities that it mentions.

    `new_times` are the times of those that were new.
    """

    counts: UpsertCounts
    mentions: Sequence[Collection[str]]
    new_times: Sequence[datetime] = ()


class Feed(Protocol[T]):
    """One query to AskNews and the tables for its results. It needs a client and a budget, and knows no run."""

    @property
    def name(self) -> str:
        """What is asked for, for people to read."""
        ...

    @property
    def endpoint(self) -> str:
        """Which of AskNews' endpoints is asked: what is learnt of its pages holds for all its feeds."""
        ...

    @property
    def measures_lateness(self) -> bool:
        """Whether the records' times are those by which AskNews selects them: what is late then was indexed late."""
        ...

    @property
    def page_size(self) -> int:
        """How many rows a page is asked for; the plan may allow fewer."""
        ...

    def key(self, record: T) -> object:
        """Return what tells the record from all others."""
        ...

    def time(self, record: T) -> datetime | None:
        """Return the time by which AskNews selects the record, None if that is not known."""
        ...

    async def fetch(self, window: Window, offset: int | str) -> Page[T]:
        """Return one page, paid from the budget, without retries. Raises AskNewsError or BudgetExhausted."""
        ...

    async def store(self, connection: AsyncConnection, page: Page[T]) -> Stored:
        """Store the page's records within the caller's transaction; the caller counts them and keeps the rejects."""
        ...


class CountedFeed(Feed[T], Protocol):
    """A feed of which it can be said how many records are stored."""

    async def count(self, connection: AsyncConnection, window: Window) -> int:
        """Return how many records of the window are stored, both ends included."""
        ...
