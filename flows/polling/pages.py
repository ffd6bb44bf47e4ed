"""The poll of all scopes: window after window, each page one transaction.

For each scope (all of the news, or one entity's stories):

1. read the scope's position: its watermark, and the window that an earlier run left unfinished;
2. choose the next window; none left means that the scope has caught up;
3. read it page by page (`read_window`), and store each page in one transaction with the position after it; pages and
   windows that are next are fetched meanwhile (`PagesAhead`);
4. its last page moves the watermark to the window's end; if something of it may be missing, because a page failed and
   was stepped over, pages repeat or rows moved, the same transaction defers the window: a later reading asks for all of
   that time again. The loop goes on with step 2.

Then, if nothing failed, while there is time, and unless the budget is nearly spent:

5. prove every few hours that nothing is missing (`sweep`);
6. read again what is deferred (`read_deferred`); the first failure ends this, and makes the run a partial failure.

The transaction of the run's last page in step 4 also closes the run's row in the log, if neither 5 (due or
not) nor 6 is to follow, be it for what was deferred before or by this run.
A run that ends otherwise is closed by `PollingRun.finish`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AskNewsError, UnexpectedResponse
from flows.database.engine import reading
from flows.polling.ahead import PagesAhead, fetching_ahead
from flows.polling.artifacts import CatchUpProgress
from flows.polling.budget import BudgetExhausted
from flows.polling.feeds import CountedFeed, Feed
from flows.polling.positions import PositionMoved, read_position, write_position
from flows.polling.reading import Reading, ends_the_run, read_window
from flows.polling.run import PollingRun
from flows.polling.storage.cursors import CursorRow, touch_cursor
from flows.polling.storage.deferred import DeferredStretch, defer_stretch, deferred_stretches
from flows.polling.stretches import read_deferred, sweep
from flows.polling.windows import Position, Reach, Window, next_window, progress, upcoming_windows

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Sweep:
    """The proof that nothing is missing: of which feed (the scope ''), and how far back."""

    feed: CountedFeed[Any]
    reach_back: timedelta


async def poll_scopes(
    run: PollingRun, feeds: Mapping[str, Feed[Any]], reach: Reach, sweeping: Sweep | None = None
) -> None:
    """Poll every scope, sweep, and then read what is deferred. A scope that fails is noted in the run's statistics, and
    the rest goes on.

    Raises the last error if nothing succeeded at all: BudgetExhausted, or an AskNewsError.
    """
    async with reading(run.engine) as connection:
        waiting = await deferred_stretches(connection, run.job_name, feeds.keys())
    # A run's feeds ask one endpoint, for pages of one length.
    await run.pages.recall(run.engine, next(iter(feeds.values())), run.now)
    last_scope = list(feeds)[-1]
    error: AskNewsError | BudgetExhausted | PositionMoved | None = None
    for scope, feed in feeds.items():
        closes_run = scope == last_scope and not sweeping and (not waiting or run.is_tight)
        try:
            async with fetching_ahead(run) as ahead:
                await _poll_scope(run, scope, feed, reach, ahead, closes_run=closes_run)
        except (AskNewsError, BudgetExhausted, PositionMoved) as caught:
            error = caught
            _note_failure(run, scope, caught)
            if isinstance(caught, PositionMoved) or ends_the_run(caught):
                break
            # So that the next run begins with another scope: the rotation goes by the last attempt.
            async with run.engine.begin() as connection:
                await touch_cursor(connection, run.job_name, scope)
    if error is None and not run.is_tight:
        try:
            if sweeping is not None and run.statistics.caught_up and not run.statistics.failures:
                await sweep(run, "", sweeping.feed, reach, sweeping.reach_back)
        except (AskNewsError, BudgetExhausted, PositionMoved) as caught:
            error = caught
            _note_failure(run, "sweep", caught)
        else:
            # What has just failed is asked for by a later run.
            error = None if run.statistics.failures else await read_deferred(run, feeds)
    if error is not None and run.statistics.pages == 0:
        raise error


def _note_failure(run: PollingRun, scope: str, error: Exception) -> None:
    run.statistics.caught_up = False
    run.statistics.failures.append(f"{scope}: {error}" if scope else str(error))
    logger.warning("scope_failed", scope=scope, error_type=type(error).__name__, error=str(error))


async def _poll_scope(
    run: PollingRun, scope: str, feed: Feed[Any], reach: Reach, ahead: PagesAhead, *, closes_run: bool
) -> None:
    """Poll `scope` up to the run's now, as the module's algorithm says. `closes_run`: its last page closes the run.

    Raises the AskNewsError, BudgetExhausted or PositionMoved that ended the poll; what was stored before stays.
    """
    async with reading(run.engine) as connection:
        position, known = await read_position(connection, run.job_name, scope)
    begun_at = position.watermark or run.now - reach.lookback
    gap_minutes = round((run.now - begun_at).total_seconds() / 60, 1)
    run.statistics.gap_minutes = max(run.statistics.gap_minutes, gap_minutes)
    bar = CatchUpProgress(f"{run.job_name} catches up{f' on {scope}' if scope else ''}")
    while window := next_window(position, reach, until=run.now):
        if run.leaves_the_rest():
            run.statistics.caught_up = False
            return
        offset = position.next_offset if position.window is not None else 0
        ahead.expect(feed, upcoming_windows(window, reach, until=run.now), offset=offset)
        poll = _WindowPoll(run, scope, feed, reach, position, known, closes_run=closes_run and window.end >= run.now)
        position, known = await poll.read(window)
        if position.window is not None:
            run.statistics.caught_up = False
            return
        if position.watermark is not None and (position.watermark < run.now or bar.is_shown):
            await bar.show(progress(position, begun_at=begun_at, until=run.now))


class _WindowPoll:
    """One window of a scope: `position` and the cursor that says so (`known`) move with each page that is stored."""

    def __init__(
        self,
        run: PollingRun,
        scope: str,
        feed: Feed[Any],
        reach: Reach,
        position: Position,
        known: CursorRow | None,
        *,
        closes_run: bool,
    ) -> None:
        self._run = run
        self._scope = scope
        self._feed = feed
        self._reach = reach
        self._begun = position
        self._position = position
        self._known = known
        self._closes_run = closes_run
        self._gaps = 0

    async def read(self, window: Window) -> tuple[Position, CursorRow | None]:
        """Read `window` from where the position says. Return the position after it, and its cursor.

        Where an earlier run left the window, and the page there cannot be had, though the window's first one can, the
        window is deferred: it would hold up all that is new, as long as that page fails.
        """
        offset = self._position.next_offset if self._position.window is not None else 0
        # The one request of a run after an outage is for the page that has answered before.
        answers = offset != 0 and self._run.asks_once and await self._answers(window)
        try:
            read = await read_window(
                self._run,
                self._feed,
                window,
                commit=self._commit,
                offset=offset,
                steps_over=True,
                late_by=self._begun.late_by,
            )
        except UnexpectedResponse:
            # The next run begins the window again, with all that is new since: its records decide.
            async with self._run.engine.begin() as connection:
                await self._move(connection, replace(self._position, window=None, next_offset=0))
            raise
        except AskNewsError as error:
            is_of_page = offset != 0 and self._position == self._begun and not ends_the_run(error)
            if not (is_of_page and (answers or await self._answers(window, after=error))):
                raise
            async with self._run.engine.begin() as connection:
                await self._move(connection, self._after(window, is_whole=False))
                await self._defer_for(connection, window, error)
            return self._position, self._known
        if read.repeats:
            self._run.statistics.failures.append(f"{self._scope or 'news'}: {read.reason()}")
            async with self._run.engine.begin() as connection:
                await self._end(connection, read)
        return self._position, self._known

    async def _answers(self, window: Window, *, after: AskNewsError | None = None) -> bool:
        """Return True if AskNews answers to the window's first page. Raises `after`, or else why it does not."""
        if after is not None and self._run.stops_at_failures():
            raise after
        try:
            await self._run.fetch(self._feed, window, 0)
        except (AskNewsError, BudgetExhausted) as error:
            raise after or error from None
        return True

    async def _commit(self, connection: AsyncConnection, read: Reading) -> None:
        if read.has_ended:
            await self._end(connection, read)
        else:
            await self._move(connection, replace(self._position, window=read.window, next_offset=read.offset))
            await self._defer_gaps(connection, read)

    async def _end(self, connection: AsyncConnection, read: Reading) -> None:
        """Move the watermark to the window's end, and defer the window if something of it may be missing."""
        self._run.whole_windows += read.is_whole
        await self._move(connection, self._after(read.window, is_whole=read.is_whole))
        await self._defer_gaps(connection, read)
        if not read.is_whole and not read.gaps:
            await self._defer(connection, read.window, read.reason())
        elif self._closes_run and not self._run.reads_what_it_deferred():
            await self._run.close(connection, status=self._run.status())

    def _after(self, window: Window, *, is_whole: bool) -> Position:
        settles_after = self._reach.settles_after
        return self._begun.at_end_of(window, read_at=self._run.now, settles_after=settles_after, is_whole=is_whole)

    async def _move(self, connection: AsyncConnection, position: Position) -> None:
        self._known = await write_position(connection, self._run.job_name, self._scope, position, known=self._known)
        self._position = position

    async def _defer_gaps(self, connection: AsyncConnection, read: Reading) -> None:
        """Defer the window for pages that were stepped over: at once, as another run may finish it."""
        for error in read.gaps[self._gaps :]:
            await self._defer_for(connection, read.window, error)
        self._gaps = len(read.gaps)

    async def _defer_for(self, connection: AsyncConnection, window: Window, error: AskNewsError) -> None:
        await self._defer(connection, window, f"{type(error).__name__}: {error}")
        told = window.told(self._run.zone)
        self._run.statistics.failures.append(f"{self._scope or 'news'}, {told}: {error} Deferred to a later run.")

    async def _defer(self, connection: AsyncConnection, window: Window, reason: str) -> None:
        stretch = DeferredStretch(self._run.job_name, self._scope, window.start, window.end)
        await defer_stretch(connection, stretch, reason=reason)
        self._run.statistics.deferred_stretches += 1
