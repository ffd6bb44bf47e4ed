"""Pages that are fetched before the reading asks for them: while the one before is stored, and windows side by side.

1. The windows that are to be read are told (`expect`), in their order. Each begins with its first page.
2. When a page comes, a reading of its window that stores nothing decides what follows, and that is begun.
3. So many requests go on at the same time as the plan allows; as many pages wait to be read, at the most. Nothing is
   begun that the run will not read: while the budget is nearly spent, or beyond its last page.
4. The reading gets the page that was begun, or its error, and asks itself for every other one.

So the reading asks for the same pages as it would alone, and stores them in the same order. Where it ends early, by an
error, what was fetched ahead was paid and is lost.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flows.asknews import Page
from flows.polling.feeds import Feed
from flows.polling.known_pages import shorter
from flows.polling.reading import Reading
from flows.polling.run import PollingRun
from flows.polling.windows import Window


class PagesAhead:
    """The pages that `run` fetches ahead. Made by `fetching_ahead`."""

    def __init__(self, run: PollingRun) -> None:
        self._run = run
        self._fetch = run.fetch
        self._slots = asyncio.Semaphore(run.requests_at_once)
        self._readings: dict[Window, Reading] = {}
        self._followed: int | None = None
        self._to_begin: deque[tuple[Feed[Any], Window, int | str]] = deque()
        self._begun: dict[tuple[Window, int | str], asyncio.Task[Page[Any]]] = {}

    def expect(self, feed: Feed[Any], windows: Sequence[Window], *, offset: int | str = 0) -> None:
        """Fetch ahead in the first of `windows`, from `offset` on, and in as many others as are asked for at once."""
        for window in windows[: self._run.requests_at_once]:
            if window not in self._readings:
                reading = Reading(window, offset if window == windows[0] else 0)
                self._readings[window] = reading
                self._to_begin.append((feed, window, reading.offset))
        self._begin()

    async def fetch(self, feed: Feed[Any], window: Window, offset: int | str) -> Page[Any]:
        """Return the page, from before or asked for now. Raises what its request raised."""
        if (feed, window, offset) in self._to_begin:
            self._to_begin.remove((feed, window, offset))
            return await self._fetch_and_go_on(feed, window, offset)
        if (task := self._begun.pop((window, offset), None)) is None:
            async with self._slots:
                return await self._fetch(feed, window, offset)
        page = await task
        self._begin()
        return page

    async def stop(self) -> None:
        """Give up what was begun and not read."""
        for task in self._begun.values():
            task.cancel()
        await asyncio.gather(*self._begun.values(), return_exceptions=True)

    def _begin(self) -> None:
        most = self._run.requests_at_once
        while self._to_begin and len(self._begun) < most and self._run.may_ask_ahead(len(self._begun)):
            feed, window, offset = self._to_begin.popleft()
            self._begun[window, offset] = asyncio.create_task(self._fetch_and_go_on(feed, window, offset))

    async def _fetch_and_go_on(self, feed: Feed[Any], window: Window, offset: int | str) -> Page[Any]:
        async with self._slots:
            page = await self._fetch(feed, window, offset)
        reading, pages = self._readings[window], self._run.pages
        reading.take(feed, page, full_page=shorter(pages.full, self._followed), largest_page=pages.longest)
        self._followed = shorter(self._followed, reading.followed)
        if reading.goes_on:
            self._to_begin.append((feed, window, reading.offset))
            self._begin()
        return page


@asynccontextmanager
async def fetching_ahead(run: PollingRun) -> AsyncGenerator[PagesAhead]:
    """Let the run fetch pages ahead, in windows that are expected."""
    ahead = PagesAhead(run)
    alone, run.fetch = run.fetch, ahead.fetch
    try:
        yield ahead
    finally:
        run.fetch = alone
        await ahead.stop()
