"""What a poll asks for and where it puts it: what the page loop needs to know of news or stories."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import Page
from flows.database.upserts import UpsertCounts
from flows.polling.windows import Window

T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """What became of a page's records, and for each of them the entities that it mentions."""

    counts: UpsertCounts
    mentions: Sequence[Collection[str]]


class Feed(Protocol[T]):
    """One query to AskNews and the tables for its results. It needs a client and a budget, and knows no run."""

    @property
    def name(self) -> str:
        """What is asked for, for people to read."""
        ...

    @property
    def page_size(self) -> int:
        """Rows that one page holds, as far as is known: how far to step over a page that fails."""
        ...

    async def fetch(self, window: Window, offset: int | str) -> Page[T]:
        """Return one page, paid from the budget, without retries. Raises AskNewsError or BudgetExhausted."""
        ...

    async def store(self, connection: AsyncConnection, page: Page[T]) -> Stored:
        """Store the page's records within the caller's transaction; the caller counts them and keeps the rejects."""
        ...
