"""How far a poll reaches back: what was measured in, a stretch of time out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.polling.overlap import (
    LONGEST_SETTLING,
    SETTLING_MARGIN,
    SHORTEST_SETTLING,
    lateness_of,
    overlap,
    settles_after,
)
from flows.polling.windows import Position

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LEAST = timedelta(minutes=5)
SETTLES = timedelta(minutes=45)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def reach_of(
    *known_minutes: float, settled: float | None = 120, full_page: int | None = 10, watermark: float | None = 15
) -> timedelta:
    """The overlap of a poll that is 15 minutes after the last; numbers are minutes ago, but for `full_page`."""
    position = Position(
        None if watermark is None else ago(watermark), settled_until=None if settled is None else ago(settled)
    )
    known = sorted(ago(minutes) for minutes in known_minutes)
    return overlap(position, now=NOW, known=known, full_page=full_page, settles_after=SETTLES, least=LEAST)


def test_without_late_articles_the_shortest_time_settles() -> None:
    assert settles_after({}) == SHORTEST_SETTLING
    assert lateness_of({}, 0.99) == 0


@pytest.mark.parametrize(
    ("late", "minutes"),
    [({15: 10}, 45), ({60: 10}, 75), ({15: 99, 240: 1}, 45), ({15: 98, 240: 2}, 255), ({90: 1, 15: 1}, 105)],
)
def test_it_settles_with_the_lateness_of_99_in_100_and_a_margin(late: dict[int, int], minutes: int) -> None:
    assert settles_after(late) == timedelta(minutes=minutes)


@given(st.dictionaries(st.integers(1, 1_440), st.integers(1, 1_000)))
def test_it_settles_within_bounds_and_reaches_nearly_all(late: dict[int, int]) -> None:
    settling = settles_after(late)
    assert SHORTEST_SETTLING <= settling <= LONGEST_SETTLING
    reached = sum(found for minutes, found in late.items() if timedelta(minutes=minutes) <= settling - SETTLING_MARGIN)
    assert settling in (SHORTEST_SETTLING, LONGEST_SETTLING) or reached >= 0.99 * sum(late.values())


@pytest.mark.parametrize(("watermark", "settled"), [(None, None), (None, 120), (15, None), (15, 10)])
def test_before_anything_has_settled_it_is_the_least(watermark: float | None, settled: float | None) -> None:
    assert reach_of(watermark=watermark, settled=settled) == LEAST


@pytest.mark.parametrize(("settled", "minutes"), [(120, 120), (-400, 5)])
def test_a_watermark_ahead_of_now_counts_as_now(settled: float, minutes: float) -> None:
    assert reach_of(20, 30, watermark=-480, settled=settled) == timedelta(minutes=minutes)


def test_a_second_reading_reaches_back_to_what_has_settled() -> None:
    assert reach_of(*range(16, 520), settled=8 * 60 + 45) == timedelta(minutes=8 * 60 + 45 - 15)
    assert reach_of(*range(16, 520), settled=8 * 60 + 44) == LEAST


def test_while_the_plans_pages_are_unknown_it_is_the_least() -> None:
    assert reach_of(30, full_page=None) == LEAST


def test_a_page_with_room_reaches_back_to_what_has_settled() -> None:
    assert reach_of(30, 60) == timedelta(minutes=105)


def test_with_less_room_it_reaches_over_what_articles_fit() -> None:
    # 12 in three hours: one is expected in a quarter of an hour, with a deviation of one; 10 - 1 - 1 - 2 = 6 fit.
    minutes = [20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75]
    assert reach_of(*minutes) == timedelta(minutes=50 - 15) - timedelta(seconds=1)


def test_the_pages_room_is_counted_to_the_last_article() -> None:
    # Three in three hours: a quarter of one is expected, with a deviation of half of one; 6 - 1 - 0.25 - 1 = 3.75 fit.
    assert reach_of(60, 90, 100, full_page=3) == LEAST
    assert reach_of(60, 90, 100, full_page=4) == timedelta(minutes=90 - 15) - timedelta(seconds=1)
    assert reach_of(60, 90, 100, full_page=6) == timedelta(minutes=120 - 15)


def test_what_has_settled_takes_no_room() -> None:
    assert reach_of(30, 40, 70, 80, 90, 100, 110, settled=60) == timedelta(minutes=60 - 15)


def test_a_page_full_of_new_articles_leaves_the_least() -> None:
    assert reach_of(*(16 + each for each in range(150))) == LEAST


@given(st.lists(st.floats(0, 300), max_size=60), st.integers(15, 600), st.integers(1, 100))
def test_it_never_reaches_beyond_what_has_settled(known: list[float], settled: int, full_page: int) -> None:
    reach = reach_of(*known, settled=settled, full_page=full_page)
    assert LEAST <= reach <= max(LEAST, timedelta(minutes=settled - 15))
