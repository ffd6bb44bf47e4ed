"""The page loop: window after window, page after page, each page one transaction.

For each scope (all of the news, or one entity's stories):

1. read the scope's position: its watermark, and the window that an earlier run left unfinished;
2. choose the next window; none left means that the scope has caught up;
3. fetch a page, and store it in one transaction with the position after it;
4. a page that fails is stepped over: if the next page succeeds, the same transaction notes the failed one as deferred,
   and a later run asks for it again; if the next one fails too, or there is no time for it, the scope's poll ends where
   the first one failed. It also ends if the failed one was not what AskNews' contract says and the next one has no
   record to disprove a change of the API: then the next run begins the window anew;
5. a window's last page moves the watermark to the window's end, and the loop goes on with step 2.

Then, if no scope failed, while there is time, and unless the budget is nearly spent:

6. ask again for the pages that earlier runs deferred, and store each in one transaction with what it leaves of its
   deferral; the first that fails ends this, and makes the run a partial failure.

The transaction of the run's last page, in step 5 or 6, also closes the run's row in the log. A run that ends without
one, such as for lack of time, is closed by `PollingRun.finish`.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AskNewsError, InvalidRequest, Page, PermanentError, ResponseTooLarge, UnexpectedResponse
from flows.database.engine import reading
from flows.polling.artifacts import CatchUpProgress
from flows.polling.budget import BudgetExhausted
from flows.polling.feeds import Feed
from flows.polling.positions import read_position, write_position
from flows.polling.run import PollingRun
from flows.polling.storage.cursors import touch_cursor
from flows.polling.storage.deferred import (
    DeferredPage,
    defer_page,
    deferred_pages,
    drop_deferred_page,
    note_deferred_page_failed,
)
from flows.polling.storage.rejected import store_rejected
from flows.polling.windows import Position, Reach, Window, next_window, progress

# Errors of one page: the page after it may well succeed. Other permanent errors (a refused key) end the run.
_ERRORS_OF_ONE_PAGE = (ResponseTooLarge, UnexpectedResponse, InvalidRequest)
# One run stores this many pages at the most while the budget is nearly spent.
TIGHT_PAGES = 3
# A page that still fails after this long is given up, aloud: it stays in the rejected records.
GIVE_UP_AFTER = timedelta(hours=48)

logger = structlog.stdlib.get_logger()


async def poll_scopes(run: PollingRun, feeds: Mapping[str, Feed[Any]], reach: Reach) -> None:
    """Poll every scope, and then ask for deferred pages. A scope that fails is noted in the run's statistics, and the
    rest goes on.

    Raises the last error if nothing succeeded at all: BudgetExhausted, or an AskNewsError.
    """
    waiting: Sequence[DeferredPage] = ()
    if not run.is_tight:
        async with reading(run.engine) as connection:
            waiting = await deferred_pages(connection, run.job_name, feeds.keys())
    last_scope = list(feeds)[-1]
    error: AskNewsError | BudgetExhausted | None = None
    for scope, feed in feeds.items():
        try:
            await _poll_scope(run, scope, feed, reach, closes_run=scope == last_scope and not waiting)
        except (AskNewsError, BudgetExhausted) as caught:
            error = caught
            run.statistics.caught_up = False
            run.statistics.failures.append(f"{scope}: {caught}" if scope else str(caught))
            logger.warning("scope_failed", scope=scope, error_type=type(caught).__name__, error=str(caught))
            if _ends_the_run(caught):
                break
            # So that the next run begins with another scope: the rotation goes by the last attempt.
            async with run.engine.begin() as connection:
                await touch_cursor(connection, run.job_name, scope)
    if error is None:
        error = await _retry_deferred_pages(run, feeds, waiting)
    if error is not None and run.statistics.pages == 0:
        raise error


async def _poll_scope(run: PollingRun, scope: str, feed: Feed[Any], reach: Reach, *, closes_run: bool) -> None:
    """Poll `scope` up to the run's now, as the module's algorithm says. `closes_run`: its last page closes the run.

    Raises the AskNewsError or BudgetExhausted that ended the poll; what was stored before stays.
    """
    async with reading(run.engine) as connection:
        position = await read_position(connection, run.job_name, scope)
    begun_at = position.watermark or run.now - reach.lookback
    bar = CatchUpProgress(f"{run.job_name} catches up{f' on {scope}' if scope else ''}")
    while window := next_window(position, reach, until=run.now):
        if _leaves_the_rest(run):
            run.statistics.caught_up = False
            return
        position = await _poll_window(
            run, scope, feed, position, window, closes_run=closes_run and window.end >= run.now
        )
        if position.window is not None:
            run.statistics.caught_up = False
            return
        if position.watermark is not None and (position.watermark < run.now or bar.is_shown):
            await bar.show(progress(position, begun_at=begun_at, until=run.now))


async def _poll_window(
    run: PollingRun, scope: str, feed: Feed[Any], position: Position, window: Window, *, closes_run: bool
) -> Position:
    """Poll `window` from where `position` says, and give the position reached: its window is None if it is finished."""
    offset = position.next_offset if position.window is not None else 0
    failed: tuple[DeferredPage, AskNewsError] | None = None
    while True:
        try:
            page = await run.fetch(feed, window, offset)
        except AskNewsError as error:
            # Out of time, the next page would only end in the flow's timeout, which says less than this error.
            if _ends_the_run(error) or failed is not None or not isinstance(offset, int) or run.is_out_of_time():
                raise
            logger.warning("page_failed", scope=scope, offset=offset, error_type=type(error).__name__, error=str(error))
            # What is stepped over here is what is missing, whatever page size the next page teaches.
            stepped_over = feed.page_size
            failed = (DeferredPage(run.job_name, scope, window.start, window.end, offset, stepped_over), error)
            offset += stepped_over
            continue
        if failed is not None and isinstance(failed[1], UnexpectedResponse) and not page.records:
            # Beyond the last row there is always an empty page: it is no sign that only the page before it is odd. The
            # next run begins the window anew, with all that is new since: its records decide.
            await _give_up_window(run, scope, position)
            raise failed[1]
        if page.is_last:
            position = Position(watermark=window.end)
        else:
            position = Position(position.watermark, window, page.next_offset)
        async with run.engine.begin() as connection:
            await _store(connection, run, feed, page)
            if failed is not None:
                await _defer(connection, run, *failed)
            await write_position(connection, run.job_name, scope, position)
            if page.is_last and closes_run:
                await run.close(connection, status=run.status())
        logger.info("page_stored", scope=scope, offset=offset, fetched=page.fetched, is_last=page.is_last)
        failed = None
        if page.is_last or _leaves_the_rest(run):
            return position
        offset = page.next_offset


async def _store(connection: AsyncConnection, run: PollingRun, feed: Feed[Any], page: Page[Any]) -> None:
    """Store the page's records and its rejects, and count both, within the caller's transaction."""
    stored = await feed.store(connection, page)
    newly_rejected = await store_rejected(connection, page.rejects)
    run.statistics.count_page(
        fetched=page.fetched, rejected=len(page.rejects), newly_rejected=newly_rejected, stored=stored
    )


async def _give_up_window(run: PollingRun, scope: str, position: Position) -> None:
    async with run.engine.begin() as connection:
        await write_position(connection, run.job_name, scope, Position(position.watermark))


async def _defer(connection: AsyncConnection, run: PollingRun, page: DeferredPage, error: AskNewsError) -> None:
    await defer_page(connection, page, reason=f"{type(error).__name__}: {error}")
    run.statistics.deferred_pages += 1
    run.statistics.failures.append(
        f"{page.scope or 'news'}, page at {page.page_offset}: {error} Deferred to a later run."
    )


async def _retry_deferred_pages(
    run: PollingRun, feeds: Mapping[str, Feed[Any]], pages: Sequence[DeferredPage]
) -> AskNewsError | BudgetExhausted | None:
    """Ask again for `pages`, which earlier runs stepped over. Gives the error that ended this, None if none did."""
    waiting = deque(pages)
    while waiting and run.has_time_for_deferred_pages():
        deferred = waiting.popleft()
        feed = feeds[deferred.scope]
        try:
            page = await run.fetch(feed, Window(deferred.window_start, deferred.window_end), deferred.page_offset)
        except (AskNewsError, BudgetExhausted) as error:
            await _note_failed_again(run, deferred, error)
            return error
        if rest := _rest(deferred, page):
            waiting.appendleft(rest)
        async with run.engine.begin() as connection:
            await _store(connection, run, feed, page)
            await drop_deferred_page(connection, deferred)
            if rest:
                await defer_page(connection, rest, reason="what came before it on a deferred page has been fetched")
            if not waiting:
                await run.close(connection, status=run.status())
        logger.info("deferred_page_stored", scope=deferred.scope, offset=deferred.page_offset, fetched=page.fetched)
    if waiting:
        run.statistics.caught_up = False
    return None


async def _note_failed_again(run: PollingRun, deferred: DeferredPage, error: AskNewsError | BudgetExhausted) -> None:
    """Note the failure in the run, and count it against the page if it is the page's own."""
    given_up = False
    if not _ends_the_run(error):
        async with run.engine.begin() as connection:
            given_up = await note_deferred_page_failed(
                connection, deferred, reason=f"{type(error).__name__}: {error}", give_up_after=GIVE_UP_AFTER
            )
    run.statistics.failures.append(
        f"{deferred.scope or 'news'}, deferred page at {deferred.page_offset} of {deferred.window_start:%Y-%m-%d %H:%M}"
        f": {error}{' Given up: see rejected_records.' if given_up else ''}"
    )
    logger.log(
        logging.ERROR if given_up else logging.WARNING,
        "deferred_page_given_up" if given_up else "deferred_page_failed",
        scope=deferred.scope,
        offset=deferred.page_offset,
        window_start=str(deferred.window_start),
        error_type=type(error).__name__,
        error=str(error),
    )


def _rest(deferred: DeferredPage, page: Page[Any]) -> DeferredPage | None:
    """What `page` leaves of `deferred`, which may cover more rows than the plan allows on a page.

    Rows were counted to step over them, so they are counted here as well, should the response offer an opaque offset.
    """
    counted = deferred.page_offset + page.fetched
    offset = page.next_offset if isinstance(page.next_offset, int) else counted
    size = deferred.page_offset + deferred.page_size - offset
    return None if page.is_last or size <= 0 else replace(deferred, page_offset=offset, page_size=size)


def _leaves_the_rest(run: PollingRun) -> bool:
    """Whether what remains is the next run's: the time is up, or the budget nearly spent."""
    return run.is_out_of_time() or (run.is_tight and run.statistics.pages >= TIGHT_PAGES)


def _ends_the_run(error: AskNewsError | BudgetExhausted) -> bool:
    """Whether no other request can succeed either, such as after a refused key."""
    return isinstance(error, BudgetExhausted | PermanentError) and not isinstance(error, _ERRORS_OF_ONE_PAGE)
