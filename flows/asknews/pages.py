"""A page of results, and where the next one begins."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from flows.asknews.errors import UnexpectedResponse
from flows.asknews.records import Reject

RecordT = TypeVar("RecordT")

# Plans cap pages at round numbers; 10 is the smallest that is known.
SMALLEST_CAP = 10
CAP_STEP = 5
LONGEST_OFFSET = 1_000


@dataclass(frozen=True)
class Page(Generic[RecordT]):
    """One response's items: `fetched` of them, each either in `records` or in `rejects`.

    `next_offset` is where the next page begins, with no meaning once `is_last`. `credits` is what AskNews says that the
    request cost, None if it says nothing.
    """

    records: list[RecordT]
    rejects: list[Reject]
    next_offset: int | str
    credits: int | None
    fetched: int
    is_last: bool


class PageCap:
    """Learns how many items the plan allows on a page, so that a page cut to the cap is not taken for the last one.

    A page shorter than asked is the last one, unless it may be the cap itself: a round number, and no page was larger.
    The price of a wrong guess is one more request, which brings an empty page; the price of the opposite guess would be
    every item beyond the cap.
    """

    def __init__(self) -> None:
        self._largest = 0
        self._cap: int | None = None

    def is_last(self, asked: int, fetched: int) -> bool:
        """Whether a page of `fetched` items, where `asked` were asked for, is the last one."""
        self._largest = max(self._largest, fetched)
        if self._cap is not None and self._cap < self._largest:
            self._cap = None
        if fetched >= asked:
            return False
        if fetched == self._largest and fetched >= SMALLEST_CAP and fetched % CAP_STEP == 0:
            self._cap = fetched
        return fetched != self._cap

    def size(self, asked: int) -> int:
        """How many items a full page holds where `asked` are asked for, as far as is known."""
        return asked if self._cap is None else min(asked, self._cap)


def number_if_digits(offset: int | str) -> int | str:
    """An offset that went through text, as a number again."""
    return int(offset) if isinstance(offset, str) and offset.isascii() and offset.isdigit() else offset


def offset_after(offset: int | str, fetched: int, offered: object, *, is_last: bool) -> int | str | None:
    """Where the page after this one begins, None if the response says that there is none.

    A numeric offset counts rows, so the next one is never beyond the rows fetched, whatever the response offers: going
    too far would lose rows, while reading one twice is harmless. Any other offset is opaque: the response's is taken,
    and its absence is the end. Raises UnexpectedResponse if an opaque offset leads nowhere, unless the page `is_last`.
    """
    if isinstance(offered, str) and offered.isascii() and offered.isprintable() and 0 < len(offered) <= LONGEST_OFFSET:
        following = number_if_digits(offered)
    else:
        following = offered if isinstance(offered, int) and not isinstance(offered, bool) else None
    if isinstance(offset, int):
        if isinstance(following, str):
            return following
        counted = offset + fetched
        return following if following is not None and offset < following < counted else counted
    if offered is None or is_last:
        return None
    if following is None or following == offset:
        raise UnexpectedResponse("the page does not say where the next one begins", status=200)
    return following
