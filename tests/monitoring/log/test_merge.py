"""Whatever arrives, in whichever order and however often: the merged fact is the same."""

from datetime import datetime, timedelta
from functools import reduce
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.database.types import canonical_json
from flows.monitoring.log.merge import AUTHORITY, LONGEST_DETAILS, STATUSES, Closing, Fact, merge
from tests.monitoring.log.facts import NOON, arrivals, closing, closings, fact, facts


@given(facts, facts)
def test_merge_is_commutative(a: Fact, b: Fact) -> None:
    assert merge(a, b) == merge(b, a)


@given(facts, facts, facts)
def test_merge_is_associative(a: Fact, b: Fact, c: Fact) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(facts)
def test_merge_is_idempotent(a: Fact) -> None:
    assert merge(a, a) == a


@given(facts, facts)
def test_what_was_merged_already_adds_nothing(a: Fact, b: Fact) -> None:
    merged = merge(a, b)
    assert merge(merged, a) == merge(merged, b) == merge(merged, merged) == merged


@given(arrivals())
def test_order_and_repetition_do_not_matter(case: tuple[list[Fact], list[Fact]]) -> None:
    first, second = case
    assert reduce(merge, first) == reduce(merge, second)


@given(arrivals(), st.randoms(use_true_random=False))
def test_it_does_not_matter_which_facts_meet_first(case: tuple[list[Fact], list[Fact]], chance: Random) -> None:
    first, rest = case
    while len(rest) > 1:
        chance.shuffle(rest)
        rest.append(merge(rest.pop(), rest.pop()))
    assert rest == [reduce(merge, first)]


@given(st.lists(facts, min_size=1, max_size=6))
def test_the_winner_wins_whole_and_everyones_claim_stays(given_facts: list[Fact]) -> None:
    merged = reduce(merge, given_facts)
    ends = [each.closing for each in given_facts if each.closing is not None]

    assert (merged.closing is None) == (not ends)
    if merged.closing is not None:
        assert merged.closing in ends
        assert merged.claims[merged.closing.closed_by] == merged.closing.status
    assert set(merged.claims) == {each.closed_by for each in ends}
    for closer, status in merged.claims.items():
        said = [each.status for each in ends if each.closed_by == closer]
        assert status == max(said, key=STATUSES.index)


@given(st.lists(facts, max_size=5), st.integers(0, 5))
def test_a_success_that_the_flow_committed_is_never_downgraded(others: list[Fact], place: int) -> None:
    committed = fact(closing=closing("success", "flow"))

    merged = reduce(merge, [*others[:place], committed, *others[place:]])

    assert merged.status == "success"
    assert merged.closing is not None
    assert merged.closing.closed_by == "flow"


@given(closings, closings)
def test_closings_that_rank_alike_are_alike(a: Closing, b: Closing) -> None:
    # By their texts, as Python takes 0 for False, and JSON does not.
    assert (a.rank() == b.rank()) == (repr(a) == repr(b))


def test_a_disagreement_shows() -> None:
    merged = reduce(
        merge,
        [
            fact(closing=closing("failure", "reconciler", error="The run was lost.")),
            fact(),
            fact(closing=closing("failure", "hook", error="Crashed")),
            fact(closing=closing("success", "flow", fetched=3)),
        ],
    )

    assert merged.closing == closing("success", "flow", fetched=3)
    assert merged.claims == {"flow": "success", "hook": "failure", "reconciler": "failure"}


@pytest.mark.parametrize("better", range(1, len(AUTHORITY)))
def test_authority_beats_status_and_time(better: int) -> None:
    strong = fact(closing=closing("missed", AUTHORITY[better], ended=0))
    weak = fact(closing=closing("success", AUTHORITY[better - 1], ended=99))
    assert merge(strong, weak).closing == strong.closing


@pytest.mark.parametrize("better", range(1, len(STATUSES)))
def test_of_one_closers_words_the_better_status_counts(better: int) -> None:
    good = fact(closing=closing(STATUSES[better], "hook", ended=0))
    bad = fact(closing=closing(STATUSES[better - 1], "hook", ended=99))
    assert merge(good, bad).closing == good.closing


def test_of_two_failures_the_last_one_counts_whole() -> None:
    first = fact(1, closing=closing("failure", "hook", ended=5, error="zzz", tried=1))
    second = fact(2, closing=closing("failure", "hook", ended=9, error="aaa", tried=2))
    assert merge(first, second).closing == second.closing


def test_an_execution_started_with_its_first_attempt() -> None:
    never, first, second = fact(0, started=-5), fact(1, started=2), fact(2, started=60)

    assert merge(never, fact(0, started=-3)).started_at == never.started_at
    assert merge(never, second).started_at == second.started_at
    assert reduce(merge, [never, second, first]).started_at == first.started_at
    assert reduce(merge, [never, second, first]).attempt == 2


def test_a_row_that_nobody_closed_is_running() -> None:
    assert merge(fact(1), fact(2)).status == "running"
    assert merge(fact(1), fact(2)).closing is None


def test_a_scheduled_time_is_kept_once_it_is_known() -> None:
    assert merge(fact(scheduled_for=None), fact()).scheduled_for == NOON
    assert merge(fact(scheduled_for=None), fact(scheduled_for=None)).scheduled_for is None


def test_of_two_scheduled_times_the_earlier_is_kept() -> None:
    later = NOON + timedelta(minutes=1)
    assert merge(fact(), fact(scheduled_for=later)).scheduled_for == NOON
    assert merge(fact(scheduled_for=later), fact()).scheduled_for == NOON


def test_facts_about_two_executions_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different executions"):
        merge(fact(), fact(execution_id=UUID(int=1)))


def test_a_closing_is_kept_as_the_database_gives_it_back() -> None:
    given_closing = Closing(
        "failure",
        NOON,
        "hook",
        "bad\x00\ud800",
        {"claims": {"flow": "success"}, "at": NOON, "n": (1, 2.0), "x": float("nan")},
    )
    assert given_closing.error_message == "bad\ufffd"
    assert fact(job_name="poll\x00").job_name == "poll"
    assert given_closing.details == {"at": "2026-09-07 12:00:00+00:00", "n": [1, 2], "x": None}


def test_a_very_long_error_is_cut() -> None:
    assert len(closing("failure", "hook", error="x" * 10_000_000).error_message or "") == 8_000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"status": "running"}, "'running' is not a status that an execution ends with"),
        ({"closed_by": "cron"}, "'cron' closes no row"),
        ({"completed_at": datetime(2026, 9, 7)}, "naive"),  # noqa: DTZ001  # the very mistake
    ],
)
def test_a_closing_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    whole = {"status": "success", "completed_at": NOON, "closed_by": "flow", **values}
    with pytest.raises(ValueError, match=message):
        Closing(**whole)  # pyright: ignore[reportArgumentType]  # wrong on purpose


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"started_at": datetime(2026, 9, 7)}, "naive"),  # noqa: DTZ001  # the very mistake
        ({"scheduled_for": datetime(2026, 9, 7)}, "naive"),  # noqa: DTZ001  # the very mistake
        ({"attempt": -1}, "less than 0 times"),
    ],
)
def test_a_fact_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fact(**values)  # pyright: ignore[reportArgumentType]  # wrong on purpose


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=9_000) | st.integers(), max_size=30))
def test_details_are_bounded_once_and_for_all(details: dict[str, Any]) -> None:
    kept = Closing("success", NOON, "hook", details=details).details
    assert len(canonical_json(kept)) <= LONGEST_DETAILS
    assert Closing("success", NOON, "hook", details=kept).details == kept


def test_details_that_fit_are_kept_and_others_leave_room() -> None:
    half = "x" * (LONGEST_DETAILS // 2 - len('{"a":""}'))
    whole = {"a": half, "b": half}
    assert Closing("success", NOON, "hook", details=whole).details == whole
    assert Closing("success", NOON, "hook", details={**whole, "c": half + "x"}).details == {"a": half, "left_out": 2}


def test_the_characters_of_details_are_counted_unescaped() -> None:
    details = {"title": "ä" * (LONGEST_DETAILS // 2)}
    assert Closing("success", NOON, "hook", details=details).details == details


def test_of_endless_details_the_short_ones_are_kept() -> None:
    details = {"fetched": 5, "reason": "budget", **{f"page {number}": "x" * 5_000 for number in range(1_000)}}
    kept = Closing("success", NOON, "hook", details=details).details
    assert (kept["fetched"], kept["reason"], kept["left_out"]) == (5, "budget", 997)
