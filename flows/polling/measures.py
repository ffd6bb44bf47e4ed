"""What the polls measure of AskNews' index, as their rows report it to the monitoring. Pure."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from flows.monitoring.log.rows import LogRow
from flows.polling.overlap import REACHED_SHARE, lateness_of, settles_after

# The polls cannot read again later than 6 hours after the crawl: this is near.
NEARLY_OUT_OF_REACH = timedelta(hours=4)


def lateness_measure(
    late: Mapping[int, int], found_after: Mapping[str, float], *, late_finds: int
) -> dict[str, str | None]:
    """Return how late articles are indexed, with a warning if the polls nearly do not reach that far back.

    `late` counts the late articles of the last 7 days by their minutes, `found_after` tells in minutes how long after
    their crawl the last poll found its new ones, and `late_finds` is what only the sweep found within a day.
    """
    settling = settles_after(late)
    found = ""
    if found_after:
        found = (
            f"The last poll found its new articles {found_after['median']:g} min after their crawl at the median, and "
            f"{found_after['longest']:g} at the longest. "
        )
    known = "In 7 days, none was seen to be indexed late."
    if total := sum(late.values()):
        known = (
            f"In 7 days, {total:,} were indexed late: half of them by up to {lateness_of(late, 0.5)} min as far as is "
            f"known, {REACHED_SHARE:.0%} by up to {lateness_of(late, REACHED_SHARE)}."
        )
    return {
        "name": "Lateness of the news",
        "text": f"{found}{known} All are read again {settling // timedelta(minutes=1)} min after their crawl or later.",
        "warning": _warning(settling, late_finds),
    }


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
