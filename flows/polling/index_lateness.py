"""What the polls measure of AskNews' index, as their rows report it to the monitoring. Pure."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.wording import duration
from flows.polling.overlap import REACHED_SHARE, lateness_of, settles_after

# The polls cannot read again later than 6 hours after the crawl: this is near.
NEARLY_OUT_OF_REACH = timedelta(hours=4)
# After more than this, what a poll finds is old because nobody has asked for it: the first time, or after an outage.
LONGEST_USUAL_GAP_MINUTES = 60


def lateness_measure(
    late: Mapping[int, int], found_after: Mapping[str, float], *, gap_minutes: float, late_finds: int
) -> dict[str, str | None]:
    """Return how late articles are indexed, with a warning if the polls nearly do not reach that far back.

    `late` counts the late articles of the last 7 days by their minutes, and `late_finds` what only the sweep found
    within a day. `found_after` tells in minutes how long after their crawl the last poll found its new ones; the poll
    before it was `gap_minutes` ago.
    """
    settling = settles_after(late)
    known = "In 7 days, none was seen to be indexed late."
    if total := sum(late.values()):
        known = (
            f"In 7 days, {total:,} were indexed late: half of them {_by(lateness_of(late, 0.5))} as far as is known, "
            f"{REACHED_SHARE:.0%} {_by(lateness_of(late, REACHED_SHARE))}."
        )
    return {
        "name": "Lateness of the news",
        "text": f"{_found(found_after, gap_minutes)}{known} "
        f"All are read again {duration(settling.total_seconds())} after their crawl or later.",
        "warning": _warning(settling, late_finds),
    }


def _found(found_after: Mapping[str, float], gap_minutes: float) -> str:
    if not found_after:
        return ""
    median, longest = (duration(60 * found_after[name]) for name in ("median", "longest"))
    if gap_minutes > LONGEST_USUAL_GAP_MINUTES:
        return (
            f"The last poll caught up on {duration(60 * gap_minutes)}, and found articles up to {longest} after their "
            "crawl: that says nothing of how late they were indexed. "
        )
    return (
        f"The last poll found its new articles {median} after their crawl at the median, and {longest} at the longest. "
    )


def _by(minutes: int) -> str:
    return f"by up to {duration(60 * minutes)}" if minutes else "by an unknown time"


def _warning(settling: timedelta, late_finds: int) -> str | None:
    if settling >= NEARLY_OUT_OF_REACH:
        return "AskNews indexes articles so late that the polls hardly reach back as far: the sweep finds the others."
    if late_finds:
        return f"Within a day, the sweep found {late_finds} articles that the polls had missed."
    return None


def late_finds_of(rows: Iterable[LogRow]) -> int:
    """Return how many articles only the sweep found, by the details of the log's `rows`."""
    counts = (row.details.get("late_finds", 0) for row in rows)
    return sum(count for count in counts if isinstance(count, int))
