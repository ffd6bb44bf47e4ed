"""Whatever AskNews does, and wherever the polls die: in the end all that it has ever shown is stored, each once.

Hypothesis draws histories of a sandbox and of polls against it, in the sandbox's time, and shortens one that fails.
Here a few are drawn, always the same ones; `pytest --hypothesis-profile thorough` draws many, and others each time.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.sandbox import Fault, create_app
from deployments.sandbox.faults import FaultKind
from deployments.sandbox.search import Order
from deployments.sandbox.state import Sandbox
from flows.database.engine import create_engine, reading
from flows.polling.storage.cursors import read_cursor
from flows.polling.storage.tables import Article
from tests.polling.simulated import NAMES, Poller
from tests.polling.test_source import seeded
from tests.support.sandbox_server import ManualClock

# Faults of single requests: what the gate of a plan, a gateway, an outage and odd pages look like.
ODD_PAGES: list[FaultKind] = ["short_page", "empty_page", "shuffled", "offset_ignored", "malformed_items"]
REFUSALS: list[FaultKind] = ["service_failed", "gateway_html", "html_200", "malformed_json", "rate_limited", "not_now"]
# A page that drips in, a connection that is reset, and one that is never made.
BROKEN: list[type[httpx.RequestError]] = [httpx.ReadTimeout, httpx.ReadError, httpx.ConnectError]
LONGEST_LATENESS = timedelta(minutes=90)
# The sweep proves the last 31 hours: what went wrong earlier would have been swept before.
LONGEST_TROUBLE = timedelta(hours=20)
CALM = timedelta(hours=20)
LOOKBACK = timedelta(hours=24)


# A history takes as long as so many examples of other properties.
EXAMPLES_PER_HISTORY = 8


class Crash(RuntimeError):
    """The process ends here."""


@dataclass
class Source:
    """The sandbox behind AskNews' HTTP API. `before` is what happens before the requests of a run, in their order; at
    each of them, time goes on by `pace`, so that articles come and rows move while a window is read.
    """

    clock: ManualClock
    app: Any
    pace: timedelta = timedelta(0)
    before: list[Callable[[], Awaitable[None]] | None] = field(
        default_factory=list[Callable[[], Awaitable[None]] | None]
    )

    @property
    def now(self) -> datetime:
        return self.clock.at

    @property
    def sandbox(self) -> Sandbox:
        state: Sandbox = self.app.state.sandbox
        return state

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        happens = self.before.pop(0) if self.before else None
        if happens is not None:
            await happens()
        self.clock.at += self.pace
        return await httpx.ASGITransport(self.app).handle_async_request(request)


class AnyHistory(RuleBasedStateMachine):
    """A sandbox and a poller, and what may happen to both. Where a history ends, calm follows, and all is counted."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory()
        self._polled_from: datetime | None = None

    @initialize(
        cap=st.integers(3, 30),
        late_share=st.sampled_from([0.0, 0.1, 0.5]),
        late_by=st.integers(5, LONGEST_LATENESS // timedelta(minutes=1)),
        minutes_ahead=st.sampled_from([-20, -1, 0, 1, 20]),
    )
    def begin(self, cap: int, late_share: float, late_by: int, minutes_ahead: int) -> None:
        """Begin with a plan, an index and two clocks, at a moment of which all is known."""
        clock = ManualClock()
        self._app = partial(
            create_app, clock=clock, slot_seconds=1_800, late_share=late_share, late_by_seconds=60 * late_by
        )
        self._source = Source(clock, self._app(page_cap=cap))
        self._began = clock.at
        # Whether each article is found as soon as a poll succeeds, and needs no second reading and no sweep.
        self._is_prompt = late_share == 0 and minutes_ahead <= 0
        self._engine = self._runner.run(self._opened())
        self._poller = Poller(self._engine, self._source, clock_ahead=timedelta(minutes=minutes_ahead))

    async def _opened(self) -> AsyncEngine:
        file = Path(self._folder.name) / "polls.db"
        shutil.copyfile(self.template, file)
        return await seeded(create_engine(f"sqlite+aiosqlite:///{file}"))

    @rule(polls=st.integers(1, 4))
    def all_is_well_for_a_while(self, polls: int) -> None:
        """Poll each quarter of an hour."""
        for _ in range(polls):
            self._poll()
            self._pass(timedelta(minutes=15))

    @rule(cap=st.integers(3, 30), order=st.sampled_from(list[Order](["newest_first", "oldest_first", "by_id"])))
    def the_plan_changes(self, cap: int, order: Order) -> None:
        """Serve pages of another length, in another order."""
        self._source.app = self._app(page_cap=cap, order=order)

    @rule(kind=st.sampled_from(ODD_PAGES + REFUSALS), after=st.integers(0, 6), times=st.integers(1, 5))
    def answers_are_odd(self, kind: FaultKind, after: int, times: int) -> None:
        """Let some of the next requests be answered oddly, or not at all."""
        self._source.sandbox.faults.add([Fault(kind=kind, after=after, times=times)])
        self._is_prompt &= kind not in ("short_page", "empty_page", "malformed_items")

    @rule(error=st.sampled_from([*BROKEN, Crash]), request=st.integers(0, 8))
    def a_run_is_cut_off(self, error: type[httpx.RequestError | Crash], request: int) -> None:
        """Break the run's connection, or its process, before one of its requests is answered."""

        async def broken() -> None:
            raise error("the end of it")

        self._poll(at=request, happens=broken)

    @rule(request=st.integers(1, 8))
    def a_run_is_stopped_while_another_goes_on(self, request: int) -> None:
        """Stop a run in the middle, let a whole other one pass, and continue the first."""

        async def other_run() -> None:
            self._pass(timedelta(minutes=15))
            before, self._source.before = self._source.before, []
            await self._poller.poll()
            self._source.before = before

        self._poll(at=request, happens=other_run)

    @rule(seconds=st.integers(1, 600))
    def the_index_changes_while_a_run_reads_it(self, seconds: int) -> None:
        """Let time go on between the pages, so that articles come late into what has been read already."""
        self._source.pace = timedelta(seconds=seconds)
        self._poll()
        self._source.pace = timedelta(0)

    @precondition(lambda self: self._source.now - self._began < LONGEST_TROUBLE)
    @rule(minutes=st.integers(1, 300))
    def nobody_polls(self, minutes: int) -> None:
        """Let time pass without a run."""
        self._pass(timedelta(minutes=minutes))

    def _pass(self, duration: timedelta) -> None:
        self._source.clock.at += duration

    def _poll(self, *, at: int = 0, happens: Callable[[], Awaitable[None]] | None = None) -> None:
        """One run. `happens` at its request number `at`, which it may not reach."""
        began = self._source.now + self._poller.clock_ahead
        self._source.before = [None] * at + [happens]
        try:
            statistics = self._runner.run(self._poller.poll())
        except Crash:
            pass
        else:
            counted = statistics.inserted + statistics.updated + statistics.unchanged + statistics.rejected
            assert statistics.fetched == counted
        self._source.before = []
        cursor = self._runner.run(self._cursor())
        if cursor is None or (cursor.watermark is None and cursor.window_start is None):
            self._polled_from = None
        elif self._polled_from is None:
            self._polled_from = began - LOOKBACK + timedelta(minutes=1)

    async def _cursor(self) -> Any:
        async with reading(self._engine) as connection:
            return await read_cursor(connection, "poll_news")

    def teardown(self) -> None:
        """Let calm follow, and count: at first what a poll finds at once, and in the end all."""
        try:
            if hasattr(self, "_poller"):
                self._calm_down()
        finally:
            if hasattr(self, "_engine"):
                self._runner.run(self._engine.dispose())
            self._runner.close()
            self._folder.cleanup()

    def _calm_down(self) -> None:
        until = self._source.now
        self._source.sandbox.faults.clear()
        self.all_is_well_for_a_while(polls=4)
        if self._is_prompt:
            self._check(until)
        while self._source.now < until + CALM:
            self._poll()
            self._pass(timedelta(hours=4))
        self._check(until)

    def _check(self, until: datetime) -> None:
        assert self._polled_from is not None
        stored = self._runner.run(self._stored())
        assert len(stored) == len(set(stored))
        assert set(stored) <= self._shown(self._began - timedelta(days=2), self._source.now)
        missing = self._shown(self._polled_from, until) - set(stored)
        assert not missing, f"{len(missing)} are missing"

    async def _stored(self) -> list[UUID]:
        async with reading(self._engine) as connection:
            return list(await connection.scalars(select(Article.article_id)))

    def _shown(self, since: datetime, until: datetime) -> set[UUID]:
        """What the index shows by now of what was crawled between `since` and `until`: as it is, not as it answers."""
        search = self._source.sandbox.search
        stamps = search.timeline.between(
            int(since.timestamp()), int(until.timestamp()), now=int(self._source.now.timestamp())
        )
        articles = [search.newsroom.article(stamp) for stamp in stamps]
        return {
            article.stamp.article_id
            for article in articles
            if any(name.casefold() in article.searched for name in NAMES)
        }


@pytest.mark.hypothesis
@pytest.mark.timeout(7_200)
def test_in_the_end_all_that_was_ever_shown_is_stored_once(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnyHistory, "template", sqlite_template, raising=False)
    is_thorough = settings.default is not settings.get_profile("vibecheck")
    run_state_machine_as_test(
        AnyHistory,
        settings=settings(
            max_examples=settings().max_examples // EXAMPLES_PER_HISTORY,
            stateful_step_count=10,
            derandomize=not is_thorough,
        ),
    )
