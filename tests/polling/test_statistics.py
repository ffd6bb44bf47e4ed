"""The sentence that a run says about itself."""

from flows.polling.statistics import Statistics


def test_a_run_that_got_nothing_says_so() -> None:
    assert Statistics().summary() == "Nothing new: AskNews returned no records."


def test_a_run_that_got_only_known_records_says_so() -> None:
    assert Statistics(fetched=7, unchanged=7).summary() == "Nothing new: all 7 records were known."


def test_the_summary_has_all_that_was_stored_rejected_or_left() -> None:
    statistics = Statistics(
        fetched=10, inserted=4, updated=1, unchanged=3, rejected=2, newly_rejected=1, caught_up=False, failures=["page"]
    )
    assert statistics.summary() == (
        "10 fetched: 4 new, 1 updated, 3 unchanged, 2 rejected. More remains for the next run. Failed: page"
    )
