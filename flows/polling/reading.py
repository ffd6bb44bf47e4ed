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
    """How far a window has been read, and what follows from its pages. It asks for nothing and stores nothing.

    `offset` is where the next page begins, `rows` came before that, and `before` of them on the last page: 0 after one
    that failed, None where an earlier run left the window (`is_continued`). `has_ended` once the end is proved; with
    `is_proved`, no page proves it by being short. `followed` is the length of a page that the last one has shown to be
    a full one.
    `gaps` are the errors of pages that were stepped over.
    """

    window: Window
    offset: int | str
    is_proved: bool = False
    before: int | None = None
    rows: int = 0
    repeated: int = 0
    followed: int | None = None
    has_ended: bool = False
    repeats: bool = False
    is_probing: bool = False
    skipped_rows: bool = False
    is_continued: bool = False
    gaps: list[AskNewsError] = field(default_factory=list[AskNewsError])
    _brought: set[object] = field(default_factory=set[object])

    def take(self, feed: Feed[Any], page: Page[Any], *, full_page: int | None, largest_page: int) -> bool:
        """Go on to what follows `page`. Return whether the page is to be stored: it brings nothing in 1 and 2.

        1. A page of which every row came before, and that may be followed by more, repeats: the reading stops there,
           unless it is the window's one page, and another window's held more (`largest_page`).
        2. An empty page after a full one has to be proved, by the one after it. `full_page` is the fewest rows of a
           full page, as far as is known.
        3. Any other page is the last one if AskNews says so; or it has fewer rows than a full page, or, while that is
           not known, than the longest page (unless the end is to be proved: `is_proved`); or it is empty.
        """
        records = {feed.key(record) for record in page.records}
        keys = records | {(each.external_id, each.raw) for each in page.rejects}
        may_be_full = page.fetched > 0 and page.fetched >= (largest_page if full_page is None else full_page)
        if page.fetched > 0 and (may_be_full or self.is_proved) and self._brought and keys <= self._brought:
            # The offset is ignored, but the one page had room for more: it was all of the window.
            self.has_ended = keys == self._brought and page.fetched == self.rows < largest_page
            self.repeats = not self.has_ended
            return False
        # A window is left where more may follow: what an empty page there means has to be proved too.
        before = self.before if self.before is not None else full_page or 0 if self.offset else 0
        is_first_empty = page.fetched == 0 and not self.is_probing
        if is_first_empty and full_page is not None and before >= full_page and isinstance(self.offset, int):
            self.is_probing, self.offset = True, self.offset + full_page
            return False
        self.skipped_rows |= self.is_probing and page.fetched > 0
        self.is_probing = False
        self.has_ended = page.next_offset is None or page.fetched == 0 or not (may_be_full or self.is_proved)
        self.repeated += len(records & self._brought)
        self.rows += page.fetched
        if page.next_offset is not None:
            self.offset = page.next_offset
        self.followed = before if before and keys - self._brought else None
        self._brought |= keys
        self.before = page.fetched
        return True

    @property
    def goes_on(self) -> bool:
        """Whether there may be a page at the offset."""
        return not (self.has_ended or self.repeats)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the window can be missing.

        Pages that bring as many different rows as their offsets count hold them all, in whatever order they came. Which
        rows an earlier run's pages brought is not known.
        """
        is_doubted = self.repeated or self.repeats or self.skipped_rows or self.is_continued
        return self.has_ended and not (self.gaps or is_doubted)

    def reason(self) -> str:
        """Why the window is not whole, for people to read."""
        if self.gaps:
            return f"{type(self.gaps[0]).__name__}: {self.gaps[0]}"
        if self.repeats:
            return "AskNews repeats a page, whatever the offset: read in shorter stretches of time."
        if self.repeated or self.skipped_rows:
            return "Rows moved between two pages."
        if self.is_continued:
            return "An earlier run left it, and rows may have moved since."
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
    3. Let the reading decide what the page means (`Reading.take`). Where pages repeat, stop; raise UnexpectedResponse
       if their rows are not even of the window.
    4. In one transaction, store the page, count it, note how late its new records were (`late_by`, by their time),
       note that the page before it was a full one, and `commit` what else belongs there.
    5. Go on with the next page, unless the run leaves the rest to the next one.

    Raises AskNewsError or BudgetExhausted; what was stored before stays.
    """
    # Near the budget's end every longer window is left and gone on with: to read them all again would cost the next
    # month's credits. The first sweep of that month counts what is there, as far as it reaches back.
    reading = Reading(window, offset, is_proved, is_continued=offset != 0 and not run.is_tight)
    failed: AskNewsError | None = None
    while True:
        asked_at = reading.offset
        step = run.pages.full or reading.before or feed.page_size
        try:
            page = await run.fetch(feed, window, asked_at)
        except AskNewsError as error:
            # Out of time, the next page would only end in the flow's timeout, which says less than this error.
            if not steps_over or ends_the_run(error) or failed or run.stops_at_failures() or isinstance(asked_at, str):
                raise failed or error from None
            logger.warning("page_failed", feed=feed.name, offset=asked_at, error=str(error), kind=type(error).__name__)
            failed = error
            reading.offset, reading.before = asked_at + step, 0
            continue
        if page.plan != run.pages.plan:
            await run.pages.recall(run.engine, feed, run.now, page.plan)
        if isinstance(failed, UnexpectedResponse) and not page.records:
            # Beyond the last row there is always an empty page: it does not show that only the page before it is odd.
            raise failed
        if not reading.take(feed, page, full_page=run.pages.full, largest_page=run.pages.longest):
            if reading.goes_on:
                if run.leaves_the_rest():
                    return reading
                continue
            _check_window(feed, window, page)
            if reading.has_ended:
                async with run.engine.begin() as connection:
                    await commit(connection, reading)
            return reading
        if failed is not None:
            reading.gaps.append(failed)
        with run.statistics.only_if_stored():
            async with run.engine.begin() as connection:
                await _store(connection, run, feed, page, late_by)
                await run.pages.note(connection, feed, run.now, followed=reading.followed, rows=page.fetched)
                await commit(connection, reading)
        run.pages.learn(followed=reading.followed, rows=page.fetched)
        logger.info(
            "page_stored",
            feed=feed.name,
            offset=asked_at,
            fetched=page.fetched,
            rejected=len(page.rejects),
            credits=page.credits,
            is_last=reading.has_ended,
        )
        failed = None
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
