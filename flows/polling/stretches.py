"""Stretches of time that are read again: those that a poll could not read whole, and what the sweep doubts."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AskNewsError, RequestTimedOut, UnexpectedResponse
from flows.database.engine import reading
from flows.polling.budget import BudgetExhausted
from flows.polling.feeds import CountedFeed, Feed
from flows.polling.positions import read_position, write_position
from flows.polling.reading import ERRORS_OF_ONE_PAGE, Reading, ends_the_run, read_window
from flows.polling.run import PollingRun
from flows.polling.storage.deferred import (
    DeferredStretch,
    defer_stretch,
    deferred_stretches,
    drop_stretch,
    note_stretch_failed,
    split_stretch,
)
from flows.polling.windows import Reach, Window

# A stretch that still fails after this long is given up, with an error: it stays in the rejected records.
GIVE_UP_AFTER = timedelta(hours=48)
# An article that is late by the sweep's reach less this interval is found for certain: 31 hours less 6 are over a day.
SWEEP_EVERY = timedelta(hours=6)
# What the sweep finds otherwise than expected is read in stretches of this length.
SWEEP_SLICE = timedelta(hours=6)

logger = structlog.stdlib.get_logger()


async def read_deferred(run: PollingRun, feeds: Mapping[str, Feed[Any]]) -> AskNewsError | BudgetExhausted | None:
    """Read again what was deferred, while there is time. Return the error that ended this, None if none did.

    1. Take the stretch that was tried least often, and read it whole, to its proved end.
    2. If it is whole, drop it.
    3. If rows moved, pages repeat, one page cannot be had at all or not in time, or it is too long, put its halves in
       its place: in a stretch that fits on one page, neither order nor offset matters.
    4. If it fails otherwise, or cannot be halved, count the failure, and stop.
    """
    while not run.leaves_the_rest():
        async with reading(run.engine) as connection:
            waiting = await deferred_stretches(connection, run.job_name, feeds.keys())
        if not waiting:
            return None
        stretch = waiting[0]
        if error := await _read_stretch(run, feeds[stretch.scope], stretch):
            return error
    run.statistics.caught_up = False
    return None


async def _read_stretch(
    run: PollingRun, feed: Feed[Any], stretch: DeferredStretch
) -> AskNewsError | BudgetExhausted | None:
    window = Window(stretch.window_start, stretch.window_end)

    async def drop_if_whole(connection: AsyncConnection, read: Reading) -> None:
        if read.is_whole:
            await drop_stretch(connection, stretch)

    try:
        read = await read_window(run, feed, window, commit=drop_if_whole, is_proved=True, late_by=lambda _at: None)
    except (AskNewsError, BudgetExhausted) as error:
        # The poll has just succeeded: what does not come in time now may be too much, as a page that drips in.
        is_split = isinstance(error, (*ERRORS_OF_ONE_PAGE, RequestTimedOut)) and await _split(run, stretch, str(error))
        if not is_split:
            await _note_failed(run, stretch, error)
        return error
    if read.is_whole:
        run.whole_windows += 1
        logger.info("deferred_stretch_read", scope=stretch.scope, window_start=str(window.start), rows=read.rows)
    elif not await _split(run, stretch, read.reason()):
        error = UnexpectedResponse(f"{read.reason()} The stretch is too short to be halved.")
        await _note_failed(run, stretch, error)
        return error
    return None


async def _split(run: PollingRun, stretch: DeferredStretch, reason: str) -> bool:
    halves = Window(stretch.window_start, stretch.window_end).halves()
    if halves is None:
        return False
    parts = [replace(stretch, window_start=half.start, window_end=half.end) for half in halves]
    async with run.engine.begin() as connection:
        await split_stretch(connection, stretch, parts, reason=reason)
    return True


async def _note_failed(run: PollingRun, stretch: DeferredStretch, error: AskNewsError | BudgetExhausted) -> None:
    window = Window(stretch.window_start, stretch.window_end).told(run.zone)
    run.statistics.failures.append(f"{stretch.scope or 'news'}, deferred, {window}: {error}")
    if ends_the_run(error):
        # It says nothing about this stretch.
        return
    async with run.engine.begin() as connection:
        given_up = await note_stretch_failed(
            connection, stretch, reason=f"{type(error).__name__}: {error}", give_up_after=GIVE_UP_AFTER
        )
    logger.log(
        logging.ERROR if given_up else logging.WARNING,
        "deferred_stretch_given_up" if given_up else "deferred_stretch_failed",
        scope=stretch.scope,
        window_start=str(stretch.window_start),
        error_type=type(error).__name__,
        error=str(error),
    )


async def sweep(run: PollingRun, scope: str, feed: CountedFeed[Any], reach: Reach, reach_back: timedelta) -> None:
    """Prove, if it is time, that nothing of the last `reach_back` is missing.

    1. Count the articles that are stored of what has settled. (At first, only the lookback was read.)
    2. Ask for the last row of that count: if nothing follows it, AskNews has as many, and nothing is missing.
    3. Otherwise, or if that row cannot be had (a source may refuse rows so far on), do the same with each slice, and
       read again those that differ: what is new there is a late find. A slice that cannot be read whole is deferred.
    4. When the run leaves the rest to the next one, the sweep is due there again: it finds what was read as stored.

    It compares counts alone: an article that AskNews has taken away can hide one that came late.

    Raises AskNewsError, BudgetExhausted or PositionMoved; the sweep is then due at the next run again.
    """
    async with reading(run.engine) as connection:
        position, known = await read_position(connection, run.job_name, scope)
    if position.settled_until is None or (position.swept_at and run.now - position.swept_at < SWEEP_EVERY):
        return
    if run.leaves_the_rest():
        run.statistics.caught_up = False
        return
    if position.swept_at is None:
        reach_back = min(reach_back, reach.lookback)
    window = Window(_second(run.now - reach_back), _second(position.settled_until))
    if window.start < window.end and not await _whole_counts_as_stored(run, feed, window):
        before = run.statistics.inserted
        run.statistics.caught_up = await _read_what_differs(run, scope, feed, window, reach.settles_after)
        run.statistics.late_finds = run.statistics.inserted - before
        logger.warning("sweep_read_again", window_start=str(window.start), late_finds=run.statistics.late_finds)
        if not run.statistics.caught_up:
            return
    async with run.engine.begin() as connection:
        await write_position(connection, run.job_name, scope, replace(position, swept_at=run.now), known=known)


async def _read_what_differs(
    run: PollingRun, scope: str, feed: CountedFeed[Any], window: Window, late: timedelta
) -> bool:
    """Return whether there was the time for all of the window's slices."""
    for part in window.slices(SWEEP_SLICE):
        if run.leaves_the_rest():
            return False
        if await _counts_as_stored(run, feed, part):
            continue
        if run.leaves_the_rest():
            return False
        await _sweep_slice(run, scope, feed, part, late)
    return True


async def _whole_counts_as_stored(run: PollingRun, feed: CountedFeed[Any], window: Window) -> bool:
    """Return False also where the row cannot be had: rows of the slices are nearer."""
    try:
        return await _counts_as_stored(run, feed, window)
    except AskNewsError as error:
        if ends_the_run(error) or run.stops_at_failures():
            raise
        logger.warning("sweep_count_failed", error_type=type(error).__name__, error=str(error))
        return False


async def _counts_as_stored(run: PollingRun, feed: CountedFeed[Any], window: Window) -> bool:
    async with reading(run.engine) as connection:
        stored = await feed.count(connection, window)
    if stored == 0:
        return False
    page = await run.fetch(feed, window, stored - 1)
    return page.fetched == 1


async def _sweep_slice(run: PollingRun, scope: str, feed: CountedFeed[Any], window: Window, late: timedelta) -> None:
    async def nothing_else(_connection: AsyncConnection, _read: Reading) -> None:
        return

    try:
        read = await read_window(run, feed, window, commit=nothing_else, is_proved=True, late_by=lambda _at: late)
    except AskNewsError as error:
        await _defer(run, scope, window, str(error))
        raise
    if not read.is_whole:
        await _defer(run, scope, window, read.reason())


async def _defer(run: PollingRun, scope: str, window: Window, reason: str) -> None:
    async with run.engine.begin() as connection:
        await defer_stretch(connection, DeferredStretch(run.job_name, scope, window.start, window.end), reason=reason)


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)
