"""How one window is read to its end, page after page, with nothing about AskNews' pages taken for granted."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AskNewsError, InvalidRequest, Page, PermanentError, ResponseTooLarge, UnexpectedResponse
from flows.polling.budget import BudgetExhausted
from flows.polling.feeds import Feed
from flows.polling.run import PollingRun
from flows.polling.storage.full_pages import note_full_page
from flows.polling.storage.lateness import note_late
from flows.polling.storage.rejected import store_rejected
from flows.polling.windows import Window

# Errors of one page: the page after it may well succeed. Other permanent errors (a refused key) end the run.
ERRORS_OF_ONE_PAGE = (ResponseTooLarge, UnexpectedResponse, InvalidRequest)
# AskNews' windows are in whole seconds, and whether their ends belong to them is not said.
SECOND = timedelta(seconds=1)

logger = structlog.stdlib.get_logger()


@dataclass
class Reading:
    """How far a window has been read: `offset` is where its next page begins, and `rows` came before that.

    `has_ended` once the end is proved. `gaps` are the errors of pages that were stepped over.
    """

    window: Window
    offset: int | str
    rows: int = 0
    repeated: int = 0
    has_ended: bool = False
    repeats: bool = False
    gaps: list[AskNewsError] = field(default_factory=list[AskNewsError])
    skipped_rows: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the window can be missing.

        Pages that bring as many different rows as their offsets count hold them all, in whatever order they came.
        """
        return self.has_ended and not (self.gaps or self.repeated or self.repeats or self.skipped_rows)

    def reason(self) -> str:
        """Why the window is not whole, for people to read."""
        if self.gaps:
            return f"{type(self.gaps[0]).__name__}: {self.gaps[0]}"
        if self.repeats:
            return "AskNews repeats a page, whatever the offset: read in shorter stretches of time."
        if self.repeated or self.skipped_rows:
            return "Rows moved between two pages."
        return "There was no time to read to the end."


# What else belongs into the transaction of a page: the position, the run's row.
Commit = Callable[[AsyncConnection, Reading], Awaitable[None]]


async def read_window(
    run: PollingRun,
    feed: Feed[Any],
    window: Window,
    *,
    commit: Commit,
    offset: int | str = 0,
    steps_over: bool = False,
    is_proved: bool = False,
    late_by: Callable[[datetime], timedelta | None],
) -> Reading:
    """Read `window` from `offset` on, and return how far that went.

    1. Ask for the page at the offset.
    2. If it fails, and `steps_over`, ask for the one after it. The error is raised if no other request can succeed, if
       that one fails too, or has no record to disprove a change of the API.
    3. A page of which every row came before, and that may be followed by more, repeats: the reading stops there, unless
       it is the window's one page, and another window's held more. It raises UnexpectedResponse if its rows are not
       even of the window.
    4. Decide whether the page is the last one: AskNews says so; or it has fewer rows than any page that was followed by
       another one (unless the end is to be proved: `is_proved`); or it is empty, and so is the one after it.
    5. In one transaction, store the page, count it, note how late its new records were (`late_by`, by their time),
       note that the page before it was a full one, and `commit` what else belongs there.
    6. Go on with the next page, unless the run leaves the rest to the next one.

    Raises AskNewsError or BudgetExhausted; what was stored before stays.
    """
    reading = Reading(window, offset)
    brought: set[object] = set()
    failed: AskNewsError | None = None
    # A window is left where more may follow: what an empty page there means has to be proved too.
    before = run.full_page or 0 if offset else 0
    is_probing = False
    while True:
        asked_at = reading.offset
        step = run.full_page or before or feed.page_size
        try:
            page = await run.fetch(feed, window, asked_at)
        except AskNewsError as error:
            # Out of time, the next page would only end in the flow's timeout, which says less than this error.
            if not steps_over or ends_the_run(error) or failed or run.stops_at_failures() or isinstance(asked_at, str):
                raise failed or error from None
            logger.warning("page_failed", feed=feed.name, offset=asked_at, error=str(error), kind=type(error).__name__)
            failed = error
            reading.offset = asked_at + step
            before = 0
            continue
        if page.plan != run.plan:
            await run.recall_full_page(feed, page.plan)
        if isinstance(failed, UnexpectedResponse) and not page.records:
            # Beyond the last row there is always an empty page: it is no sign that only the page before it is odd.
            raise failed
        records = {feed.key(record) for record in page.records}
        keys = records | {(each.external_id, each.raw) for each in page.rejects}
        may_be_full = page.fetched > 0 and (run.full_page is None or page.fetched >= run.full_page)
        if may_be_full and brought and keys <= brought:
            _check_window(feed, window, page)
            # The offset is ignored, but the one page had room for more: it was all of the window.
            reading.has_ended = keys == brought and page.fetched == reading.rows < run.largest_page
            reading.repeats = not reading.has_ended
            if reading.has_ended:
                async with run.engine.begin() as connection:
                    await commit(connection, reading)
            return reading
        is_after_full = run.full_page is not None and before >= run.full_page
        if page.fetched == 0 and is_after_full and not is_probing and isinstance(asked_at, int):
            if run.leaves_the_rest():
                return reading
            is_probing, reading.offset = True, asked_at + step
            continue
        reading.skipped_rows |= is_probing and page.fetched > 0
        is_probing = False
        reading.has_ended = page.next_offset is None or page.fetched == 0 or not (may_be_full or is_proved)
        reading.repeated += len(records & brought)
        reading.rows += page.fetched
        if page.next_offset is not None:
            reading.offset = page.next_offset
        if failed is not None:
            reading.gaps.append(failed)
        with run.statistics.only_if_stored():
            async with run.engine.begin() as connection:
                await _store(connection, run, feed, page, late_by)
                if before and keys - brought and (run.full_page is None or before != run.full_page):
                    await note_full_page(connection, run.plan, feed.endpoint, feed.page_size, before, run.now)
                await commit(connection, reading)
        if before and keys - brought:
            run.full_page = min(before, run.full_page or before)
        logger.info(
            "page_stored",
            feed=feed.name,
            offset=asked_at,
            fetched=page.fetched,
            rejected=len(page.rejects),
            credits=page.credits,
            is_last=reading.has_ended,
        )
        brought |= keys
        run.largest_page = max(run.largest_page, page.fetched)
        before, failed = page.fetched, None
        if reading.has_ended or run.leaves_the_rest():
            return reading


def ends_the_run(error: AskNewsError | BudgetExhausted) -> bool:
    """Return whether no other request can succeed either, such as after a refused key."""
    return isinstance(error, BudgetExhausted | PermanentError) and not isinstance(error, ERRORS_OF_ONE_PAGE)


def _check_window(feed: Feed[Any], window: Window, page: Page[Any]) -> None:
    times = [at for record in page.records if (at := feed.time(record)) is not None]
    if any(not window.start - SECOND <= at <= window.end + SECOND for at in times):
        raise UnexpectedResponse(
            "AskNews repeats a page, whatever the offset, with records from outside the window: has the API changed?",
            status=200,
        )


async def _store(
    connection: AsyncConnection,
    run: PollingRun,
    feed: Feed[Any],
    page: Page[Any],
    late_by: Callable[[datetime], timedelta | None],
) -> None:
    """Store the page's records and its rejects, and count both, within the caller's transaction."""
    stored = await feed.store(connection, page)
    newly_rejected = await store_rejected(connection, page.rejects)
    late = [by for at in stored.new_times if (by := late_by(at)) is not None]
    if feed.measures_lateness:
        await note_late(connection, run.now.date(), late)
    run.statistics.count_page(
        fetched=page.fetched, rejected=len(page.rejects), newly_rejected=newly_rejected, stored=stored
    )
    run.statistics.late += len(late)
    run.statistics.found_after += [(run.now - at).total_seconds() / 60 for at in stored.new_times]
