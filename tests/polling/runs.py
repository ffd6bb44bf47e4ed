"""A polling run and a feed without Prefect and AskNews: the page loop on a real database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import AskNewsClient, AskNewsError, Page, Reject
from flows.database.cursors import CursorRow, read_cursor
from flows.database.engine import reading
from flows.database.log import LogRow, read_rows
from flows.database.upserts import UpsertCounts
from flows.polling.budget import BudgetExhausted, CreditBudget
from flows.polling.run import PollingRun
from flows.polling.statistics import Statistics
from flows.polling.windows import Reach, Window

# Long ago for any database: what is ahead of its clock is another matter.
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
REACH = Reach(lookback=timedelta(hours=24), overlap=timedelta(minutes=15), slice=timedelta(hours=24))
JOB = "poll_news"


def polling_run(engine: AsyncEngine, *, now: datetime = NOW, is_tight: bool = False) -> PollingRun:
    """A run as `flows.polling.run.polling_run` opens it, but for the client, which only the feeds use."""
    flow_run = FlowRun.model_validate(
        {"flow_id": uuid4(), "run_count": 1, "expected_start_time": now, "start_time": now}
    )
    statistics = Statistics()
    budget = CreditBudget(engine, 1_000, 1, 0.9, statistics)
    client = cast(AskNewsClient, None)
    return PollingRun(flow_run, JOB, engine, client, budget, now, is_tight, statistics)


class FakeFeed:
    """Ten rows a page of `rows`; `fails` says, by offset, with what a page fails. It remembers what it was asked."""

    page_size = 10

    def __init__(self, run: PollingRun, rows: int, fails: dict[int, AskNewsError | BudgetExhausted] | None = None):
        self.run = run
        self.rows = rows
        self.fails = fails or {}
        self.asked: list[tuple[Window, int | str]] = []
        self.stored: list[int] = []
        self.before_store: Callable[[int], None] = lambda _offset: None

    async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
        self.asked.append((window, offset))
        assert isinstance(offset, int)
        if error := self.fails.get(offset):
            raise error
        records = list(range(offset, min(offset + 10, self.rows)))
        return Page(records, list[Reject](), offset + len(records), 1, len(records), is_last=len(records) < 10)

    async def store(self, connection: AsyncConnection, page: Page[Any]) -> None:
        self.before_store(page.records[0] if page.records else self.rows)
        counts = UpsertCounts(inserted=len(page.records), updated=0, unchanged=0)
        await self.run.count_page(connection, page, counts, [])
        self.stored += page.records


async def cursor_of(engine: AsyncEngine, scope: str = "") -> CursorRow | None:
    async with reading(engine) as connection:
        return await read_cursor(connection, JOB, scope)


async def row_of(run: PollingRun) -> LogRow | None:
    async with reading(run.engine) as connection:
        return (await read_rows(connection, [run.flow_run.id])).get(run.flow_run.id)
