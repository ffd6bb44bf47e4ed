"""An AskNews that behaves in every odd way, and polls against it in virtual time: only the HTTP API is the contract."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID, uuid4

import httpx
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import AskNewsError
from flows.database.engine import reading
from flows.entities import EntityMatcher, load_tracked, search_names
from flows.polling.budget import CreditBudget
from flows.polling.measured import measured_reach
from flows.polling.news_feed import NewsFeed
from flows.polling.pages import Sweep, poll_scopes
from flows.polling.positions import PositionMoved
from flows.polling.run import PollingRun
from flows.polling.statistics import Statistics
from flows.polling.storage.tables import Article
from tests.asknews.fakes import article, client_of, news
from tests.polling.runs import fetch_once

# Reading the list of the tracked entities takes longer than a poll of a few articles.
NAMES, MATCHER = search_names(load_tracked()), EntityMatcher(load_tracked())
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
INTERVAL = timedelta(minutes=15)


@dataclass(frozen=True)
class Item:
    """An article of the index: when it was crawled, and from when on searches find it."""

    article_id: UUID
    crawled_at: datetime
    visible_at: datetime


@dataclass
class Index:
    """The news search. `order` is "newest", "oldest" or "random"; `answer` may replace what is answered to a request,
    and the articles that are `poisoned` cannot be stored. `rate_limit` is the plan's, as the answers tell it.

    `now` is the virtual time. `requests` counts what was asked, `credits` what was billed.
    """

    items: list[Item]
    cap: int = 10
    order: str = "newest"
    ignores_offset: bool = False
    ignores_window: bool = False
    short_share: float = 0.0
    empty_share: float = 0.0
    poisoned: set[UUID] = field(default_factory=set[UUID])
    answer: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
    rate_limit: int | None = None
    now: datetime = BEGIN
    requests: int = 0
    credits: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  # repeatable, not secret

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if (instead := self.answer(request)) is not None:
            return instead
        self.credits += 1
        asked = request.url.params
        start, end = (datetime.fromtimestamp(int(asked[f"{name}_timestamp"]), UTC) for name in ("start", "end"))
        found = [
            item
            for item in self.items
            if item.visible_at <= self.now and (self.ignores_window or start <= item.crawled_at <= end)
        ]
        found.sort(key=lambda item: item.crawled_at, reverse=self.order == "newest")
        if self.order == "random":
            self.rng.shuffle(found)
        offset = 0 if self.ignores_offset else int(asked["offset"])
        size = min(self.cap, int(asked["n_articles"]))
        if self.rng.random() < self.short_share:
            size = max(1, size // 2)
        if self.rng.random() < self.empty_share:
            size = 0
        page = found[offset : offset + size]
        bodies = [
            article(
                article_id=str(item.article_id), crawl_date=item.crawled_at.isoformat(), title="Claude", key_points=[]
            )
            | ({"pub_date": "?"} if item.article_id in self.poisoned else {})
            for item in page
        ]
        headers = {} if self.rate_limit is None else {"X-RateLimit-Limit": str(self.rate_limit)}
        return httpx.Response(200, json=news(*bodies, offset=offset + len(page)), headers=headers)


def made_up(
    *,
    hours: float,
    a_day: float = 450,
    lag: Callable[[random.Random], float] = lambda _rng: 0.0,
    seed: int = 1,
    lookback_hours: float = 24,
) -> list[Item]:
    """Articles from a day before `BEGIN` on, at random moments. `lag` draws, in minutes, how late each is indexed."""
    rng = random.Random(seed)  # noqa: S311  # repeatable, not secret
    at, items = BEGIN - timedelta(hours=lookback_hours), list[Item]()
    while (at := at + timedelta(days=rng.expovariate(a_day))) < BEGIN + timedelta(hours=hours):
        whole = at.replace(microsecond=0)
        items.append(Item(UUID(int=rng.getrandbits(128)), whole, whole + timedelta(minutes=lag(rng))))
    return items


class Source(Protocol):
    """Answers as AskNews does, at a time of its own."""

    @property
    def now(self) -> datetime: ...

    async def __call__(self, request: httpx.Request) -> httpx.Response: ...


SourceT = TypeVar("SourceT", bound=Source)


@dataclass
class Poller(Generic[SourceT]):
    """The news poll, run by run, in the index's time. `clock_ahead`: how far the database's clock is ahead."""

    engine: AsyncEngine
    index: SourceT
    clock_ahead: timedelta = timedelta(0)
    page_size: int = 50
    runs: list[Statistics] = field(default_factory=list[Statistics])
    errors: list[Exception] = field(default_factory=list[Exception])

    async def poll(self, *, asks_once: bool = False) -> Statistics:
        """One run, now."""
        now = self.index.now + self.clock_ahead
        statistics = Statistics()
        budget = CreditBudget(self.engine, 10**9, 1, 0.9, statistics, "poll_news")
        async with client_of(self.index) as client:
            flow_run = FlowRun.model_validate(
                {"flow_id": uuid4(), "run_count": 1, "expected_start_time": now, "start_time": now}
            )
            run = PollingRun(flow_run, "poll_news", self.engine, client, budget, now, False, asks_once, fetch_once)
            feed = NewsFeed(client, budget, NAMES, MATCHER, self.page_size, now=now)
            reach = await measured_reach(run, feed, lookback=timedelta(hours=24), least=timedelta(0))
            try:
                await poll_scopes(run, {"": feed}, reach, Sweep(feed, timedelta(hours=31)))
            except (AskNewsError, PositionMoved) as error:
                self.errors.append(error)
        self.runs.append(statistics)
        return statistics

    async def poll_for(self: "Poller[Index]", hours: float, **options: Any) -> None:
        """A run each quarter of an hour."""
        for _ in range(int(hours * 4)):
            await self.poll(**options)
            self.index.now += INTERVAL

    async def missing(self: "Poller[Index]", *, crawled_before: datetime) -> list[Item]:
        """What the index has shown and is not stored."""
        async with reading(self.engine) as connection:
            stored = set(await connection.scalars(select(Article.article_id)))
        return [
            item
            for item in self.index.items
            if item.crawled_at >= BEGIN - timedelta(hours=23)
            and item.crawled_at < crawled_before
            and item.visible_at < self.index.now - INTERVAL
            and item.article_id not in stored
        ]


def credits(runs: list[Statistics]) -> int:
    return sum(run.credits for run in runs)


Lag = Callable[[random.Random], float]
LAGS: Mapping[str, Lag] = {
    "none": lambda _rng: 0.0,
    "10 % by 10 to 40 min": lambda rng: rng.uniform(10, 40) if rng.random() < 0.1 else 0.0,
    "all by 0 to 40 min": lambda rng: rng.uniform(0, 40),
    "all by 0 to 90 min": lambda rng: rng.uniform(0, 90),
    "5 % by up to 24 h": lambda rng: rng.uniform(0, 1440) if rng.random() < 0.05 else 0.0,
}
