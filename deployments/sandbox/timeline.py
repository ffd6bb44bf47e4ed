"""When which article was published, crawled and became visible: the skeleton of the sandbox's news.

Time is cut into slots. Each slot holds none to three articles, so that one appears every few minutes; everything about
them follows from the numbers of slot and article. Where slot 0 begins is what an application's `as_of` moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from uuid import UUID, uuid5

from deployments.sandbox.draw import Draw

TimeFilter = Literal["crawl_date", "pub_date"]

# The lags between publication and crawl that were seen in real responses.
SHORTEST_LAG_SECONDS = 50 * 60
LONGEST_LAG_SECONDS = 104 * 60

DEFAULT_SLOT_SECONDS = 240

_ARTICLE_IDS = UUID("6f1d2c1a-1f0e-5c53-9a3e-2f4d7e0b9c11")
# How many articles a slot holds: 1.2 on average.
_ARTICLES_A_SLOT = (0, 0, 1, 1, 1, 1, 1, 2, 2, 3)
_SHARE_OF_BATCHES = 0.3
_SHARE_OF_COPIES = 0.12


@dataclass(frozen=True, slots=True)
class Stamp:
    """An article's identity and its times, in Unix seconds (UTC)."""

    slot: int
    index: int
    article_id: UUID
    published_at: int
    crawled_at: int
    # From when on a search finds it. Later than `crawled_at` for late arrivals only.
    visible_at: int
    # The index of the article in this slot that was crawled again, under a new id and with the same address.
    copy_of: int | None

    def at(self, time_filter: TimeFilter) -> int:
        """Return the time that a search's window is compared with."""
        return self.crawled_at if time_filter == "crawl_date" else self.published_at


class Timeline:
    """All articles' stamps.

    `late_share` is the share of articles that become visible only `late_by_seconds` after the crawl date that they
    carry: a reader who never looks behind its watermark loses them. Slot 0 begins at `origin`, in Unix seconds.
    """

    def __init__(
        self,
        *,
        slot_seconds: int = DEFAULT_SLOT_SECONDS,
        late_share: float = 0.0,
        late_by_seconds: int = 600,
        origin: int = 0,
    ) -> None:
        self.slot_seconds = slot_seconds
        self._origin = origin
        self._late_share = late_share
        self._late_by_seconds = late_by_seconds
        self.stamps = lru_cache(maxsize=20_000)(self._stamps)

    def between(self, start: int, end: int, *, now: int, time_filter: TimeFilter = "crawl_date") -> Iterator[Stamp]:
        """Yield the stamps whose date lies in the window, both ends included, as far as they are visible `now`."""
        shortest, longest = (SHORTEST_LAG_SECONDS, LONGEST_LAG_SECONDS) if time_filter == "crawl_date" else (0, 0)
        end = min(end, now)
        first = (start - longest - self._origin) // self.slot_seconds
        last = (end - shortest - self._origin) // self.slot_seconds
        for slot in range(first, last + 1):
            for stamp in self.stamps(slot):
                if start <= stamp.at(time_filter) <= end and stamp.visible_at <= now:
                    yield stamp

    def _stamps(self, slot: int) -> tuple[Stamp, ...]:
        draw = Draw("slot", slot)
        count = draw.pick(_ARTICLES_A_SLOT)
        # Wire stories are crawled in one go, so that their dates are equal to the second.
        is_batch = draw.chance(_SHARE_OF_BATCHES)
        begins_at = self._origin + slot * self.slot_seconds
        published_at = begins_at + draw.number(0, self.slot_seconds - 1)
        lag = draw.number(SHORTEST_LAG_SECONDS, LONGEST_LAG_SECONDS)
        stamps: list[Stamp] = []
        for index in range(count):
            copy_of = 0 if index and draw.chance(_SHARE_OF_COPIES) else None
            if index and not is_batch:
                lag = draw.number(SHORTEST_LAG_SECONDS, LONGEST_LAG_SECONDS)
                if copy_of is None:
                    published_at = begins_at + draw.number(0, self.slot_seconds - 1)
                else:
                    published_at = stamps[copy_of].published_at
            crawled_at = published_at + lag
            is_late = draw.chance(self._late_share)
            stamps.append(
                Stamp(
                    slot=slot,
                    index=index,
                    article_id=uuid5(_ARTICLE_IDS, f"{slot}/{index}"),
                    published_at=published_at,
                    crawled_at=crawled_at,
                    visible_at=crawled_at + (self._late_by_seconds if is_late else 0),
                    copy_of=copy_of,
                )
            )
        return tuple(stamps)
