"""Ticks and gaps: by themselves, and against what Prefect's scheduler would plan."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from flows.monitoring.jobs.schedules import InvalidSchedule, ScheduleSpec, longest_gap_seconds, ticks_between

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURS_IN_SECONDS = 3_600.0
# Some days around both changes of clocks of 2026 in America and Europe, and an ordinary one.
SPRING, SUMMER, AUTUMN = (datetime(2026, *day, tzinfo=UTC) for day in ((3, 1), (7, 1), (10, 20)))
TIMEZONES = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]


def spec(**changes: Any) -> ScheduleSpec:
    values: dict[str, Any] = {
        "interval": None,
        "anchor": None,
        "cron": None,
        "rrule": None,
        "timezone": None,
        "active": True,
        "slug": None,
    }
    return ScheduleSpec(**(values | changes))


def every(interval: timedelta, anchor: datetime = datetime(2026, 1, 1, tzinfo=UTC), **more: Any) -> ScheduleSpec:
    return spec(interval=interval.total_seconds(), anchor=anchor.isoformat(), **more)


def in_utc(planned: Iterable[datetime]) -> list[datetime]:
    """In UTC, as datetimes of two timezones are never equal in an hour that occurs twice. Sorted, each once."""
    return sorted({datetime.fromtimestamp(tick.timestamp(), UTC) for tick in planned})


def prefect_interval(interval: timedelta, anchor: datetime, timezone: str) -> IntervalSchedule:
    return IntervalSchedule.model_validate({"interval": interval, "anchor_date": anchor, "timezone": timezone})


def clock(*times: str, day: datetime = SUMMER) -> list[datetime]:
    """Times of one day, as HH:MM in UTC."""
    return [day + timedelta(hours=int(time[:2]), minutes=int(time[3:])) for time in times]


def test_an_interval_is_due_at_its_anchor_before_and_after() -> None:
    quarterly = every(15 * MINUTE, anchor=SUMMER + 40 * MINUTE)
    assert ticks_between([quarterly], SUMMER, SUMMER + HOUR) == clock("00:10", "00:25", "00:40", "00:55")


def test_the_start_belongs_to_the_stretch_and_the_end_does_not() -> None:
    assert ticks_between([every(HOUR)], SUMMER, SUMMER + HOUR) == [SUMMER]
    assert ticks_between([every(HOUR)], SUMMER, SUMMER) == []
    for one in (spec(cron="0 * * * *"), spec(rrule="DTSTART:20260101T000000\nFREQ=HOURLY")):
        assert ticks_between([one], SUMMER, SUMMER + HOUR) == [SUMMER]


def test_several_schedules_are_merged_and_a_common_tick_is_one() -> None:
    both = [every(30 * MINUTE), spec(cron="0,20 * * * *")]
    assert ticks_between(both, SUMMER, SUMMER + HOUR) == clock("00:00", "00:20", "00:30")


def test_inactive_schedules_are_never_due() -> None:
    inactive = spec(cron="*/20 * * * *", active=False)
    assert ticks_between([inactive], SUMMER, SUMMER + HOUR) == []
    assert ticks_between([inactive, every(30 * MINUTE)], SUMMER, SUMMER + HOUR) == clock("00:00", "00:30")
    assert ticks_between([], SUMMER, SUMMER + HOUR) == []


def test_ticks_are_plain_datetimes_in_utc_whatever_comes_in() -> None:
    abroad = timedelta(hours=2)
    for one in (every(HOUR), spec(cron="0 * * * *"), spec(rrule="DTSTART:20260101T000000\nFREQ=HOURLY")):
        [tick] = ticks_between([one], SUMMER.astimezone(tz=None), (SUMMER + HOUR).astimezone(tz=None))
        assert type(tick) is datetime
        assert tick.tzinfo is UTC
    assert ticks_between([every(4 * HOUR, anchor=SUMMER - abroad)], SUMMER, SUMMER + 4 * HOUR) == clock("02:00")


async def test_prefects_own_times_can_be_passed() -> None:
    daily = CronSchedule(cron="0 0 * * *", timezone="Europe/Berlin")
    # In UTC, which is where Prefect's type loses its timezone on arithmetic.
    [start, end] = [tick.astimezone(UTC) for tick in await daily.get_dates(n=2, start=SUMMER)]
    for one in (every(HOUR), spec(cron="0 * * * *"), spec(rrule="DTSTART:20260101T000000\nFREQ=HOURLY")):
        assert len(ticks_between([one], start, end)) == 24
    assert longest_gap_seconds([spec(cron="0 0 * * *")], start) == 24 * HOURS_IN_SECONDS


def test_cron_is_read_in_its_timezone_across_a_change_of_clocks() -> None:
    nine = spec(cron="0 9 * * *", timezone="Europe/Berlin")
    start = datetime(2026, 3, 28, tzinfo=UTC)
    assert ticks_between([nine], start, start + 2 * DAY) == [start + 8 * HOUR, start + DAY + 7 * HOUR]


def test_a_skipped_or_repeated_hour_is_treated_as_by_prefect() -> None:
    hourly = spec(cron="0 * * * *", timezone="America/New_York")
    spring, autumn = datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert len(ticks_between([hourly], spring, spring + 5 * HOUR)) == 5
    assert len(ticks_between([hourly], autumn, autumn + 5 * HOUR)) == 4  # the second 1 o'clock is left out


def test_no_tick_comes_before_the_start_when_clocks_go_forward() -> None:
    hourly = spec(cron="0 * * * *", timezone="America/New_York")
    start = datetime(2026, 3, 8, 6, 30, tzinfo=UTC)
    assert ticks_between([hourly], start, start + 2 * HOUR) == [start + 30 * MINUTE, start + 90 * MINUTE]


def test_a_skipped_clock_time_is_found_in_a_rule_out_of_order() -> None:
    # 01:30 is 06:30 UTC; 02:15 does not exist on that day, and Prefect takes 06:15 UTC for it.
    rrule = spec(rrule="DTSTART:20260308T000000\nFREQ=MINUTELY;INTERVAL=45", timezone="America/New_York")
    start = datetime(2026, 3, 8, 6, tzinfo=UTC)
    assert ticks_between([rrule], start, start + 20 * MINUTE) == [start + 15 * MINUTE]


def test_day_of_month_and_weekday_can_be_joined_by_and() -> None:
    end = SUMMER + 31 * DAY
    friday_13th = spec(cron="0 0 13 * 1")
    assert len(ticks_between([friday_13th], SUMMER, end)) == 4
    assert len(ticks_between([{**friday_13th, "day_or": False}], SUMMER, end)) == 1


def test_long_stretches_are_not_cut_off_at_a_thousand_ticks() -> None:
    for one in (
        every(10 * MINUTE),
        spec(cron="*/10 * * * *"),
        spec(rrule="DTSTART:20260301T000000\nFREQ=MINUTELY;INTERVAL=10"),
    ):
        assert len(ticks_between([one], SPRING, SPRING + 20 * DAY)) == 20 * 24 * 6


@pytest.mark.parametrize("timezone", TIMEZONES)
@pytest.mark.parametrize("start", [SPRING, AUTUMN, SUMMER])
@pytest.mark.parametrize("cron", ["*/20 * * * *", "30 1 * * *", "30 2 * * *", "0 9 * * 1-5", "15 */6 1,15 * *"])
async def test_cron_ticks_are_those_that_prefect_plans(cron: str, start: datetime, timezone: str) -> None:
    end = start + 12 * DAY
    planned = await CronSchedule(cron=cron, timezone=timezone).get_dates(n=900, start=start, end=end)
    mine = ticks_between([spec(cron=cron, timezone=timezone)], start, end)
    assert mine == [tick for tick in in_utc(planned) if tick < end]


@pytest.mark.parametrize("timezone", TIMEZONES)
@pytest.mark.parametrize("start", [SPRING, AUTUMN, SUMMER])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY;INTERVAL=2",
        "FREQ=MINUTELY;INTERVAL=45",
        "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9",
        "FREQ=DAILY;COUNT=300",
        "FREQ=DAILY;UNTIL=20260305T000000",
    ],
)
async def test_rrule_ticks_are_those_that_prefect_plans(rule: str, start: datetime, timezone: str) -> None:
    end, rrule = start + 12 * DAY, f"DTSTART:20260101T013000\n{rule}"
    planned = await RRuleSchedule(rrule=rrule, timezone=timezone).get_dates(n=900, start=start, end=end)
    mine = ticks_between([spec(rrule=rrule, timezone=timezone)], start, end)
    assert mine == [tick for tick in in_utc(planned) if tick < end]


STARTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # made aware
BELOW_A_DAY = st.integers(min_value=1, max_value=86_399).map(lambda seconds: timedelta(seconds=seconds))


@settings(deadline=None)  # the first example imports Prefect's scheduler
@given(interval=BELOW_A_DAY, anchor=STARTS, start=STARTS, timezone=st.sampled_from(TIMEZONES))
@example(interval=15 * MINUTE, anchor=SUMMER, start=SUMMER, timezone="Europe/Berlin")
async def test_interval_ticks_are_those_that_prefect_plans(
    interval: timedelta, anchor: datetime, start: datetime, timezone: str
) -> None:
    planned = in_utc(await prefect_interval(interval, anchor, timezone).get_dates(n=20, start=start))
    assert ticks_between([every(interval, anchor, timezone=timezone)], start, planned[-1] + interval) == planned


@settings(deadline=None)
@given(days=st.integers(min_value=1, max_value=10), anchor=STARTS, start=STARTS)
async def test_intervals_of_days_in_utc_are_due_when_prefect_plans(
    days: int, anchor: datetime, start: datetime
) -> None:
    planned = in_utc(await prefect_interval(days * DAY, anchor, "UTC").get_dates(n=5, start=start))
    assert ticks_between([every(days * DAY, anchor)], start, planned[-1] + MINUTE) == planned


async def test_a_daily_interval_follows_prefect_when_clocks_change() -> None:
    anchor, timezone = datetime(2026, 1, 1, 14, tzinfo=UTC), "America/New_York"
    for start in (SPRING, datetime(2026, 4, 1, tzinfo=UTC), SUMMER):
        planned = in_utc(await prefect_interval(DAY, anchor, timezone).get_dates(n=3, start=start))
        assert ticks_between([every(DAY, anchor, timezone=timezone)], start, start + 3 * DAY) == planned


@settings(deadline=None, max_examples=40)
@given(start=STARTS, cuts=st.lists(st.integers(0, 2 * 24 * 60), max_size=3), timezone=st.sampled_from(TIMEZONES))
def test_neighbouring_stretches_hold_each_tick_once(start: datetime, cuts: list[int], timezone: str) -> None:
    specs = [every(47 * MINUTE), spec(cron="*/25 * * * *", timezone="UTC"), spec(cron="0 9 * * *", timezone=timezone)]
    edges = [start, *sorted(start + cut * MINUTE for cut in cuts), start + 2 * DAY]
    parts = [ticks_between(specs, low, high) for low, high in pairwise(edges)]
    assert [tick for part in parts for tick in part] == ticks_between(specs, edges[0], edges[-1])


@pytest.mark.parametrize(
    ("specs", "now", "seconds"),
    [
        ([every(15 * MINUTE)], SUMMER, 900.0),
        ([spec(interval=0.5, anchor=None)], SUMMER, 0.5),
        ([every(HOUR), every(HOUR, anchor=SUMMER + 20 * MINUTE)], SUMMER, 2_400.0),
        ([every(HOUR), every(15 * MINUTE, active=False)], SUMMER, HOURS_IN_SECONDS),
        ([spec(cron="*/5 * * * *")], SUMMER, 300.0),
        ([spec(cron="0 9 * * 1-5")], SUMMER, 72 * HOURS_IN_SECONDS),
        ([spec(cron="0 9 * * 1-5")], SUMMER + 3 * DAY, 72 * HOURS_IN_SECONDS),
        ([spec(cron="0 9 * * *", timezone="Europe/Berlin")], SUMMER, 24 * HOURS_IN_SECONDS),
        ([spec(cron="0 9 * * *", timezone="Europe/Berlin")], AUTUMN, 25 * HOURS_IN_SECONDS),
        (
            [spec(cron="0 * * * *", timezone="America/New_York")],
            datetime(2026, 11, 1, tzinfo=UTC),
            2 * HOURS_IN_SECONDS,
        ),
        ([spec(cron="0 0 1 * *")], SUMMER + 8 * DAY, 31 * 24 * HOURS_IN_SECONDS),
        ([spec(cron="0 0 1,2,3 * *")], SUMMER + 9 * DAY, 29 * 24 * HOURS_IN_SECONDS),
        ([spec(cron="0 0 1 1 *")], SUMMER, 365 * 24 * HOURS_IN_SECONDS),
        ([spec(cron="0 0 29 2 *")], SUMMER, 1_461 * 24 * HOURS_IN_SECONDS),
        ([spec(rrule="DTSTART:20260101T090000\nFREQ=WEEKLY;BYDAY=MO,WE")], SUMMER, 5 * 24 * HOURS_IN_SECONDS),
        ([spec(rrule="DTSTART:20270101T090000\nFREQ=DAILY")], SUMMER, 24 * HOURS_IN_SECONDS),
        ([spec(rrule="DTSTART:20260101T090000\nFREQ=DAILY;COUNT=3")], SUMMER, None),
        ([spec(rrule="DTSTART:20270101T090000\nFREQ=DAILY;COUNT=1")], SUMMER, None),
        ([every(HOUR, active=False)], SUMMER, None),
        ([], SUMMER, None),
    ],
)
def test_the_longest_gap_between_neighbouring_ticks(
    specs: list[ScheduleSpec], now: datetime, seconds: float | None
) -> None:
    assert longest_gap_seconds(specs, now) == seconds


@settings(deadline=None, max_examples=25)
@given(minutes=st.integers(0, 21 * 24 * 60))
def test_a_weekly_patterns_gap_is_the_same_all_week(minutes: int) -> None:
    assert longest_gap_seconds([spec(cron="0 9,17 * * 1-5")], SUMMER + minutes * MINUTE) == 64 * HOURS_IN_SECONDS


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (spec(), "needs one of interval, cron and rrule"),
        (spec(cron="0 * * * *", rrule="FREQ=DAILY"), "needs one of interval, cron and rrule"),
        (every(timedelta(0)), "must be positive"),
        (every(-HOUR), "must be positive"),
        (spec(interval=1e300, anchor=SUMMER.isoformat()), "not a valid schedule"),
        (every(timedelta(seconds=2e11)), "longer than ten years"),
        (spec(interval=60), "needs an anchor"),
        (spec(interval=60, anchor="2026-01-01T00:00:00"), "has no timezone"),
        (spec(interval=60, anchor="yesterday"), "not a valid schedule"),
        (spec(cron="every day"), "every day"),
        (spec(cron="0 0 30 2 *"), "not a valid schedule"),
        (spec(cron="0 * * * *", timezone="Mars/Olympus"), "Mars/Olympus"),
        (spec(rrule="FREQ=SOMETIMES"), "SOMETIMES"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_named(wrong: ScheduleSpec, problem: str) -> None:
    with pytest.raises(InvalidSchedule, match=problem):
        ticks_between([wrong], SUMMER, SUMMER + DAY)


def test_an_interval_of_more_than_ten_years_has_no_gap() -> None:
    assert longest_gap_seconds([every(9 * 365 * DAY)], SUMMER) == 9 * 365 * DAY.total_seconds()
    with pytest.raises(InvalidSchedule, match="longer than ten years"):
        longest_gap_seconds([every(11 * 366 * DAY)], SUMMER)


def test_times_without_a_timezone_are_refused() -> None:
    naive = SUMMER.replace(tzinfo=None)
    with pytest.raises(ValueError, match="timezone"):
        ticks_between([], naive, SUMMER)
    with pytest.raises(ValueError, match="timezone"):
        longest_gap_seconds([spec(cron="0 * * * *")], naive)
