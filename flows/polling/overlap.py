"""How far a poll of the news reaches back over the last one. Pure: what was measured in, a stretch of time out.

Each article is read twice. At first a poll asks for what is new, and for as much of what is known as its page holds
anyway: that costs nothing, and finds most of what was indexed late. Then, once in `SECOND_READING_EVERY`, a poll
reaches back to what has settled: all since then is read again, so long after its crawl that nothing more is expected.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import sqrt

from flows.polling.windows import Position

# A poll reaches back this far, for good, to what was read long enough after its crawl.
SHORTEST_SETTLING = timedelta(minutes=45)
LONGEST_SETTLING = timedelta(hours=6)
# So much later than what was measured: a poll's interval, as that is how exactly it can be measured.
SETTLING_MARGIN = timedelta(minutes=15)
# The share of the late articles that the polls reach; the sweep finds the others.
REACHED_SHARE = 0.99
SECOND_READING_EVERY = timedelta(hours=8)
# What a page is to have room for beyond what is expected, in standard deviations: a second page costs a credit.
ROOM_DEVIATIONS = 2.0
# What is new is expected at the rate of this last stretch.
RATE_OVER = timedelta(hours=3)


def settles_after(late: Mapping[int, int]) -> timedelta:
    """Return how long after its crawl an article is certainly indexed, from counts of late articles by their minutes.

    1. Without late articles it is the shortest time.
    2. Else it is the lateness that `REACHED_SHARE` of them had at the most, with a margin,
    3. within bounds.
    """
    measured = timedelta(minutes=lateness_of(late, REACHED_SHARE))
    return min(max(measured + SETTLING_MARGIN, SHORTEST_SETTLING), LONGEST_SETTLING)


def lateness_of(late: Mapping[int, int], share: float) -> int:
    """Return how many minutes late that share of the late articles was at the most; 0 if there are none."""
    total, reached, minutes = sum(late.values()), 0, 0
    for each, found in sorted(late.items()):
        if reached >= share * total:
            break
        minutes, reached = each, reached + found
    return minutes


def overlap(
    position: Position,
    *,
    now: datetime,
    known: Sequence[datetime],
    full_page: int | None,
    settles_after: timedelta,
    least: timedelta,
) -> timedelta:
    """Return how far back over `position`'s watermark a poll at `now` begins.

    `known` are the crawl times of the articles that are stored, in order, from the earlier of `settled_until` and
    `RATE_OVER` ago on; `full_page` is how many articles a page holds, None if that is not known.

    1. Where nothing has settled, or no watermark is there, it is `least`.
    2. If the second reading is due, it reaches back to what has settled.
    3. Else it reaches back over as many known articles as the page has room for, beside those that are expected to be
       new; but to what has settled at the most, and over `least` in any case.
    4. A watermark ahead of `now`, as a wrong clock leaves it, counts as `now`: the window ends there too.
    """
    settled = position.settled_until
    if position.watermark is None or settled is None:
        return least
    watermark = min(position.watermark, now)
    unsettled = watermark - settled
    if now - settled >= settles_after + SECOND_READING_EVERY:
        return max(unsettled, least)
    if full_page is None:
        return least
    lately = sum(at > now - RATE_OVER for at in known)
    expected = lately * ((now - watermark) / RATE_OVER)
    room = int(full_page - 1 - expected - ROOM_DEVIATIONS * sqrt(expected))
    reread = [at for at in known if settled <= at <= watermark]
    if room >= len(reread):
        return max(unsettled, least)
    if room <= 0:
        return least
    # The article before the ones that there is room for stays out: windows are in whole seconds.
    return max(watermark - reread[-room - 1] - timedelta(seconds=1), least)
