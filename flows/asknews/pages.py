"""A page of results, and where the next one begins."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from flows.asknews.errors import UnexpectedResponse
from flows.asknews.records import Reject

RecordT = TypeVar("RecordT")

LONGEST_OFFSET = 1_000


@dataclass(frozen=True)
class Page(Generic[RecordT]):
    """One response's items: `fetched` of them, each either in `records` or in `rejects`.

    `next_offset` is where the next page begins, None where AskNews says that there is none. A page that is
    shorter than asked may be the last one or not: that is for the caller to find out. `credits` is what AskNews says
    that the request cost, None if it says nothing. `plan` tells one plan from another, as far as the answer does.
    """

    records: list[RecordT]
    rejects: list[Reject]
    next_offset: int | str | None
    credits: int | None
    fetched: int
    plan: str = ""


def number_if_digits(offset: int | str) -> int | str:
    """Turn an offset that went through text into a number again."""
    return int(offset) if isinstance(offset, str) and offset.isascii() and offset.isdigit() else offset


def offset_after(offset: int | str, fetched: int, offered: object) -> int | str | None:
    """Return where the page after this one begins, None if the response says that there is none.

    A numeric offset counts rows, so the next one is never beyond the rows fetched, whatever the response offers: going
    too far would lose rows, while reading one twice is harmless. Any other offset is opaque: the response's is taken,
    and its absence is the end. Raises UnexpectedResponse if an opaque offset leads nowhere, unless the page is empty.
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
    if offered is None or fetched == 0:
        return None
    if following is None or following == offset:
        raise UnexpectedResponse("the page does not say where the next one begins", status=200)
    return following
