"""Which window a poll asks for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.polling.windows import Position, Reach, Window, next_window, progress, upcoming_windows

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REACH = Reach(lookback=timedelta(hours=24), overlap=timedelta(minutes=15), slice=timedelta(hours=6))


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def test_the_first_poll_begins_the_lookback_before_now() -> None:
    assert next_window(Position(), REACH, until=NOW) == Window(hours_ago(24), hours_ago(18))


def test_a_poll_on_time_reaches_back_by_the_overlap() -> None:
    assert next_window(Position(hours_ago(0.25)), REACH, until=NOW) == Window(hours_ago(0.5), NOW)


def test_a_long_gap_is_polled_in_slices() -> None:
    assert next_window(Position(hours_ago(20)), REACH, until=NOW) == Window(hours_ago(20.25), hours_ago(14))


def test_an_unfinished_window_is_finished_as_it_was() -> None:
    unfinished = Window(hours_ago(9), hours_ago(3))
    assert next_window(Position(hours_ago(8), unfinished, 50), REACH, until=NOW) == unfinished


def test_nothing_is_left_once_the_watermark_has_reached_now() -> None:
    assert next_window(Position(NOW), REACH, until=NOW) is None


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(hours=8), timedelta(days=400)])
def test_a_watermark_that_is_ahead_of_now_counts_as_now(ahead: timedelta) -> None:
    assert next_window(Position(NOW + ahead), REACH, until=NOW) == Window(hours_ago(0.25), NOW)


@pytest.mark.parametrize(("hours", "late_hours"), [(0.1, None), (0.25, None), (0.5, 0.25), (1, 0.75), (1.1, 0), (9, 0)])
def test_a_new_record_is_as_late_as_the_reading_that_missed_it(hours: float, late_hours: float | None) -> None:
    position = Position(hours_ago(0.25), read_from=hours_ago(1))
    expected = None if late_hours is None else timedelta(hours=late_hours)
    assert position.late_by(hours_ago(hours)) == expected


def test_after_a_window_read_in_part_nothing_counts_as_late() -> None:
    window = Window(hours_ago(2), hours_ago(1))
    ended = Position().at_end_of(window, read_at=NOW, settles_after=timedelta(0), is_whole=False)
    assert ended.late_by(hours_ago(1.5)) is None
    whole = Position().at_end_of(window, read_at=NOW, settles_after=timedelta(0))
    assert whole.late_by(hours_ago(1.5)) == timedelta(hours=0.5)


@pytest.mark.parametrize(
    ("settled", "start", "end", "becomes"),
    [
        (None, 3, 2, 2),  # it is the first window
        (3, 3, 2, 2),  # it begins where the settled part ends
        (3, 4, 0.5, 1),  # of its last hour, more may be indexed
        (3, 2.9, 2, 3),  # it leaves some of the unsettled out
        (1, 3, 2, 1),  # it is older than what has settled
    ],
)
def test_what_is_read_late_enough_and_without_a_gap_has_settled(
    settled: float | None, start: float, end: float, becomes: float
) -> None:
    window = Window(hours_ago(start), hours_ago(end))
    position = Position(None, window, 20, settled_until=None if settled is None else hours_ago(settled))
    ended = position.at_end_of(window, read_at=NOW, settles_after=timedelta(hours=1))
    assert (ended.watermark, ended.settled_until) == (window.end, hours_ago(becomes))
    assert (ended.window, ended.next_offset) == (None, 0)


def test_slices_follow_each_other_and_the_last_may_be_shorter() -> None:
    slices = Window(hours_ago(5), NOW).slices(timedelta(hours=2))
    assert slices == [Window(hours_ago(5), hours_ago(3)), Window(hours_ago(3), hours_ago(1)), Window(hours_ago(1), NOW)]


@pytest.mark.parametrize(("seconds", "cut"), [(1, None), (1.9, None), (2, 1), (3, 1), (4, 2), (4.5, 2), (7200, 3600)])
def test_a_window_is_cut_in_halves_at_a_whole_second(seconds: float, cut: int | None) -> None:
    window = Window(NOW, NOW + timedelta(seconds=seconds))
    at = NOW + timedelta(seconds=cut or 0)
    assert window.halves() == (None if cut is None else (Window(NOW, at), Window(at, window.end)))
    late = Window(NOW + timedelta(seconds=0.7), NOW + timedelta(seconds=9))
    assert late.halves() == (
        Window(late.start, NOW + timedelta(seconds=4)),
        Window(NOW + timedelta(seconds=4), late.end),
    )


def test_a_window_is_told_in_the_readers_timezone() -> None:
    assert Window(hours_ago(1), NOW).told(UTC) == "23 Nov 11:00 UTC to 23 Nov 12:00 UTC"


def test_the_windows_to_come_are_those_that_will_be_polled() -> None:
    first = Window(hours_ago(15), hours_ago(9))
    assert upcoming_windows(first, REACH, until=NOW) == [
        first,
        Window(hours_ago(9.25), hours_ago(3)),
        Window(hours_ago(3.25), NOW),
    ]


@given(gap_minutes=st.integers(0, 60 * 24 * 30))
def test_the_windows_of_a_catch_up_leave_no_moment_out(gap_minutes: int) -> None:
    begin = NOW - timedelta(minutes=gap_minutes)
    position, covered_until = Position(begin), begin
    while window := next_window(position, REACH, until=NOW):
        assert window.start <= covered_until
        assert window.end > covered_until
        position, covered_until = Position(window.end), window.end
    assert covered_until == NOW


@pytest.mark.parametrize(("hours", "expected"), [(46, False), (47, False), (47.1, True), (100, True)])
def test_a_window_that_begins_two_days_back_needs_the_archive(hours: float, expected: bool) -> None:
    assert Window(hours_ago(hours), hours_ago(hours - 1)).needs_archive(NOW) is expected


@pytest.mark.parametrize(
    ("position", "percent"),
    [(Position(), 0), (Position(hours_ago(24)), 0), (Position(hours_ago(6)), 75), (Position(NOW), 100)],
)
def test_progress_is_the_share_of_the_gap_that_is_polled(position: Position, percent: float) -> None:
    assert progress(position, begun_at=hours_ago(24), until=NOW) == percent
    assert progress(position, begun_at=NOW, until=NOW) == 0


@pytest.mark.parametrize(("hours", "percent"), [(25, 0), (-1, 100)], ids=["before", "beyond"])
def test_progress_stays_within_its_bounds(hours: float, percent: float) -> None:
    assert progress(Position(hours_ago(hours)), begun_at=hours_ago(24), until=NOW) == percent
    assert progress(Position(hours_ago(hours)), begun_at=NOW - timedelta(seconds=1), until=NOW) == percent
