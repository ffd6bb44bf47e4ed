"""What the polls report of AskNews' lateness, and when they warn."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.verdicts.measures import measures_of
from flows.polling.index_lateness import lateness_measure
from flows.polling.measured import note_lateness
from tests.polling.runs import NOW, polling_run, row_of

FOUND_AFTER = {"median": 7.5, "p95": 14.0, "longest": 40.0}


def test_lateness_is_told_with_what_the_polls_make_of_it() -> None:
    measure = lateness_measure({10: 50, 30: 49, 60: 1}, FOUND_AFTER, gap_minutes=15, late_finds=0)
    assert measure["text"] == (
        "The last poll found its new articles 7 min 30 s after their crawl at the median, and 40 min at the longest. "
        "In 7 days, 100 were indexed late: half of them by up to 10 min as far as is known, 99% by up to 30 min. "
        "All are read again 45 min after their crawl or later."
    )
    assert measure["warning"] is None


def test_where_nothing_was_late_and_nothing_new_it_says_so() -> None:
    text = lateness_measure({}, {}, gap_minutes=15, late_finds=0)["text"]
    assert text == "In 7 days, none was seen to be indexed late. All are read again 45 min after their crawl or later."


def test_after_a_gap_what_is_found_is_not_called_late() -> None:
    found_after = {"median": 642.8, "p95": 1_300.0, "longest": 1_438.0}
    text = lateness_measure({0: 9}, found_after, gap_minutes=1_440, late_finds=0)["text"]
    assert text == (
        "The last poll caught up on 1 d, and found articles up to 23 h 58 min after their crawl: that says nothing of "
        "how late they were indexed. In 7 days, 9 were indexed late: half of them by an unknown time as far as is "
        "known, 99% by an unknown time. All are read again 45 min after their crawl or later."
    )


@pytest.mark.parametrize(("minutes", "is_near"), [(180, False), (240, True), (1_440, True)])
def test_it_warns_when_the_polls_hardly_reach_back_as_far(minutes: int, is_near: bool) -> None:
    assert bool(lateness_measure({minutes: 9}, {}, gap_minutes=15, late_finds=0)["warning"]) is is_near


async def test_late_finds_are_warned_of_for_a_day(database: AsyncEngine) -> None:
    swept = polling_run(database, now=NOW)
    swept.statistics.late_finds = 2
    await swept.finish()
    later = polling_run(database, now=NOW + timedelta(minutes=15))
    await note_lateness(later)
    await later.finish()
    row = await row_of(later)
    assert row is not None
    (measure,) = measures_of(row.details)
    assert measure.warning == "Within a day, the sweep found 2 articles that the polls had missed."
