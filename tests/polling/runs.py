"""A polling run and a feed without Prefect and AskNews: the page loop on a real database."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import AskNewsClient, AskNewsError, CredentialsRefused, Page, Reject, ServiceFailed
from flows.database.engine import reading
from flows.database.upserts import UpsertCounts
from flows.monitoring.log.rows import LogRow, read_rows
from flows.polling.budget import BudgetExhausted, CreditBudget
from flows.polling.feeds import Feed, Stored
from flows.polling.run import PollingRun
from flows.polling.statistics import Statistics
from flows.polling.storage.cursors import CursorRow, read_cursor
from flows.polling.storage.deferred import DeferredStretch, defer_stretch, deferred_stretches
from flows.polling.windows import Reach, Window

# Long ago for any database: what is ahead of its clock is another matter.
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
REACH = Reach(lookback=timedelta(hours=24), overlap=timedelta(minutes=15), slice=timedelta(hours=24))
JOB = "poll_news"
# Rows that a feed asks for on a page; the plan may allow fewer.
ASKED = 50
FAILS = ServiceFailed("500: the service failed", status=500)
REFUSED = CredentialsRefused("401: the key is refused", status=401)


def polling_run(engine: AsyncEngine, *, now: datetime = NOW, is_tight: bool = False) -> PollingRun:
    """A run as `flows.polling.run.polling_run` opens it, but for the client, which only the feeds use."""
    flow_run = FlowRun.model_validate(
        {"flow_id": uuid4(), "run_count": 1, "expected_start_time": now, "start_time": now}
    )
    budget = CreditBudget(engine, 1_000, 1, 0.9, Statistics(), JOB)
    client = cast(AskNewsClient, None)
    return PollingRun(flow_run, JOB, engine, client, budget, now, is_tight, fetch=fetch_once)


async def fetch_once(feed: Feed[Any], window: Window, offset: int | str) -> Page[Any]:
    """Fetch without Prefect and its retries."""
    return await feed.fetch(window, offset)


class FakeFeed:
    """`rows` rows in every window, of which the plan allows `cap` on a page, which the feed learns as the client does.

    `fails` says, by offset, with what a page fails; `failing_request` is the number of the one request that fails (the
    first is 1), `slow` which offsets take the rest of the run's time, and `takes` how many seconds of it others do. It
    remembers what it was asked and what was stored.
    """

    name = "a fake"
    endpoint = "fake"
    measures_lateness = False
    page_size = ASKED

    def __init__(
        self,
        run: PollingRun,
        rows: int,
        fails: Mapping[int, AskNewsError | BudgetExhausted] | None = None,
        *,
        cap: int = 10,
        failing_request: int | None = None,
        slow: Collection[int] = (),
        takes: Mapping[int, float] | None = None,
    ):
        self.run = run
        self.rows = rows
        self.cap = cap
        self.fails = fails or {}
        self.failing_request = failing_request
        self.slow = slow
        self.takes = takes or {}
        self.asked: list[tuple[Window, int | str]] = []
        self.stored: list[int] = []
        self.stored_of: defaultdict[Window, list[int]] = defaultdict(list)
        self.before_fetch: Callable[[], Awaitable[None]] | None = None
        self.before_store: Callable[[int], None] = lambda _offset: None

    def key(self, record: Any) -> object:
        return record

    def time(self, record: Any) -> datetime | None:  # noqa: ARG002  # a feed's
        return None

    async def fetch(self, window: Window, offset: int | str) -> Page[Any]:
        if self.before_fetch is not None:
            await self.before_fetch()
        self.asked.append((window, offset))
        assert isinstance(offset, int)
        if offset in self.slow:
            self.run._stop_at = 0.0  # pyright: ignore[reportPrivateUsage]  # the time is up, without a wait
        self.run._stop_at -= self.takes.get(offset, 0.0)  # pyright: ignore[reportPrivateUsage]  # as if time had passed
        if error := self.fails.get(offset):
            raise error
        if len(self.asked) == self.failing_request:
            raise FAILS
        records = list(range(offset, min(offset + min(ASKED, self.cap), self.rows)))
        return Page(records, list[Reject](), offset + len(records), 1, len(records))

    async def store(self, connection: AsyncConnection, page: Page[Any]) -> Stored:  # noqa: ARG002  # a feed's
        self.before_store(page.records[0] if page.records else self.rows)
        self.stored += page.records
        # A page is stored before the next one is asked for.
        self.stored_of[self.asked[-1][0]] += page.records
        return Stored(UpsertCounts(inserted=len(page.records)), [])


def crashing(feed: FakeFeed, *, at: int) -> FakeFeed:
    """The feed, during whose page at `at` the process ends, within the page's transaction."""

    def crash(offset: int) -> None:
        if offset == at:
            raise RuntimeError("the process ends here")

    feed.before_store = crash
    return feed


async def cursor_of(engine: AsyncEngine, scope: str = "") -> CursorRow | None:
    async with reading(engine) as connection:
        return await read_cursor(connection, JOB, scope)


async def defer(engine: AsyncEngine, *hours_ago: float, scope: str = "") -> None:
    """Quarters of an hour that earlier runs did not read whole."""
    for hours in hours_ago:
        start = NOW - timedelta(hours=hours)
        stretch = DeferredStretch(JOB, scope, start, start + timedelta(minutes=15))
        async with engine.begin() as connection:
            await defer_stretch(connection, stretch, reason="an earlier failure")


async def waiting(engine: AsyncEngine, scope: str = "") -> list[DeferredStretch]:
    async with reading(engine) as connection:
        return await deferred_stretches(connection, JOB, [scope])


async def row_of(run: PollingRun) -> LogRow | None:
    async with reading(run.engine) as connection:
        return (await read_rows(connection, [run.flow_run.id])).get(run.flow_run.id)
