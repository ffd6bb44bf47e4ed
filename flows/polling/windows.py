"""Which stretch of time to ask for next. Pure: a cursor and a clock in, a window out."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from math import ceil

# AskNews serves the last 48 hours from its live index; an hour's margin for a run that waits and retries.
ARCHIVE_AFTER = timedelta(hours=47)


@dataclass(frozen=True)
class Position:
    """How far a scope has been polled: everything crawled before `watermark`, and the window that was left unfinished.

    `watermark` is None for a scope that was never polled. `window` and `next_offset` go together: the window is frozen,
    because an offset counts rows and would mean something else in a window whose end had moved.

    Everything before `settled_until` was read once more when it had settled: what AskNews indexed late is there too.
    `swept_at` is the time of the last sweep. The last window began at `read_from`, None if it was not read whole: what
    is found later between that and the watermark was not there when it was read.
    """

    watermark: datetime | None = None
    window: "Window | None" = None
    next_offset: int | str = 0
    settled_until: datetime | None = None
    swept_at: datetime | None = None
    read_from: datetime | None = None

    def at_end_of(
        self, window: "Window", *, read_at: datetime, settles_after: timedelta, is_whole: bool = True
    ) -> "Position":
        """Return the position after `window`, read to its end at `read_at`.

        What was read again so long after its crawl has settled, if all before it has.
        """
        read_from = window.start if is_whole else None
        ended = replace(self, watermark=window.end, window=None, next_offset=0, read_from=read_from)
        settled = min(window.end, read_at - settles_after)
        if self.settled_until is None or window.start <= self.settled_until < settled:
            return replace(ended, settled_until=settled)
        return ended

    def late_by(self, at: datetime) -> timedelta | None:
        """Return how late at least a record is that is new now, and was crawled at `at`; None if it may not be late.

        It was not there when the last window was read, up to the watermark. Of what lies before that window, only a
        reading longer ago is known: it was late, by any time.
        """
        if self.watermark is None or self.read_from is None or at >= self.watermark:
            return None
        return self.watermark - at if at >= self.read_from else timedelta(0)


@dataclass(frozen=True)
class Window:
    """A half-open stretch of crawl time, `start <= t < end`."""

    start: datetime
    end: datetime

    def needs_archive(self, now: datetime) -> bool:
        """Return whether AskNews has to look in its archive for the beginning of this window."""
        return now - self.start > ARCHIVE_AFTER

    def told(self, zone: tzinfo) -> str:
        """Return the window for people to read, also days later: `23 Nov 19:15 UTC to 23 Nov 19:30 UTC`."""
        return " to ".join(f"{at.astimezone(zone):%d %b %H:%M %Z}" for at in (self.start, self.end))

    def slices(self, length: timedelta) -> "list[Window]":
        """Return the window in slices of `length`; the last one may be shorter."""
        count = ceil((self.end - self.start) / length)
        return [
            Window(self.start + number * length, min(self.start + (number + 1) * length, self.end))
            for number in range(count)
        ]

    def halves(self) -> "tuple[Window, Window] | None":
        """Return the window in two, cut at a whole second; None if it is too short. Both hold the second of the cut."""
        seconds = int((self.end - self.start).total_seconds())
        if seconds < 2:  # AskNews' windows are in whole seconds
            return None
        cut = (self.start + timedelta(seconds=seconds // 2)).replace(microsecond=0)
        return Window(self.start, cut), Window(cut, self.end)


@dataclass(frozen=True)
class Reach:
    """How far a poll reaches back: `lookback` at a scope's first time, and `overlap` over the watermark at each time.

    What is read again `settles_after` its crawl has settled: no article in it will come later.

    A long gap is polled in slices of `slice`: each one that is whole moves the watermark, so that a catch-up which is
    cut off keeps what it has, and only the slices that need the (five times dearer) archive use it.
    """

    lookback: timedelta
    overlap: timedelta
    slice: timedelta
    settles_after: timedelta = timedelta(0)


def next_window(position: Position, reach: Reach, *, until: datetime) -> Window | None:
    """Return the window to poll next, or None when the scope has been polled up to `until`.

    1. A window that was left unfinished is finished first, as it was.
    2. A scope that was never polled begins `lookback` before `until`.
    3. Otherwise the window begins `overlap` before the watermark, for articles that were indexed late.
    4. A window is at most one slice longer than its overlap.
    5. A watermark ahead of `until`, as a wrong clock leaves it, counts as `until`: nothing better is known.
    """
    if position.window is not None:
        return position.window
    if position.watermark is None:
        start = until - reach.lookback
        return Window(start, min(until, start + reach.slice))
    if position.watermark == until:
        return None
    watermark = min(position.watermark, until)
    return Window(watermark - reach.overlap, min(until, watermark + reach.slice))


def upcoming_windows(window: Window, reach: Reach, *, until: datetime) -> list[Window]:
    """Return `window`, and those that come after it once it has ended."""
    windows = [window]
    while following := next_window(Position(windows[-1].end), reach, until=until):
        windows.append(following)
    return windows


def progress(position: Position, *, begun_at: datetime, until: datetime) -> float:
    """Return how much of the stretch from `begun_at` to `until` has been polled, in percent."""
    whole = (until - begun_at).total_seconds()
    if position.watermark is None or whole <= 0:
        return 0.0
    return max(0.0, min(100.0, 100 * (position.watermark - begun_at).total_seconds() / whole))
