"""Late means late after a known tick: the rule against a slow oracle, over random schedules and runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.monitoring.jobs.expectation_tags import NO_TAGS, Expectations
from flows.monitoring.jobs.schedules import ScheduleSpec, ticks_between
from flows.monitoring.jobs.ticks import PLANNING_TIME, first_ticks
from flows.monitoring.verdicts.overall import judge_all
from flows.monitoring.verdicts.rules import ExpectedJob, JobFacts, Limits, grace, judge, late_from
from flows.monitoring.vocabulary import Reason, Verdict

SINCE = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)  # shortly before clocks go forward in Europe
AUTUMN = datetime(2026, 10, 23, 12, 0, 30, tzinfo=UTC)  # and back
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def spec(
    *, cron: str | None = None, interval: float | None = None, rrule: str | None = None, zone: str = "UTC"
) -> ScheduleSpec:
    anchor = "2026-01-01T00:00:00+00:00" if interval else None
    return ScheduleSpec(interval=interval, anchor=anchor, cron=cron, rrule=rrule, timezone=zone, active=True, slug=None)


def job(
    specs: list[ScheduleSpec], covered: datetime = SINCE, tags: Expectations = NO_TAGS, *, since: datetime = SINCE
) -> ExpectedJob:
    return ExpectedJob(
        name="nightly",
        longest_interval_seconds=DAY.total_seconds(),
        since=since,
        paused=False,
        next_run_at=None,
        planned_runs=3,
        ticks=first_ticks(specs, covered),
        tags=tags,
    )


SCHEDULES = [
    [spec(cron="0 2 * * *", zone="Europe/Berlin")],
    [spec(cron="30 2 * * *", zone="Europe/Berlin")],
    [spec(cron="0 9 * * 1-5", zone="America/New_York")],
    [spec(cron="*/7 * * * *")],
    [spec(rrule="DTSTART:20260101T000000\nFREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=6;BYMINUTE=0;BYSECOND=0", zone="UTC")],
    [spec(interval=5_400), spec(cron="15 4 * * *", zone="Europe/Berlin")],
]
SECONDS = st.integers(0, 8 * 86_400)


def slow_late_from(
    specs: list[ScheduleSpec], since: datetime, starts: list[datetime], within: timedelta
) -> datetime | None:
    """The same, by looking at every tick and every run."""
    for tick in ticks_between(specs, since + timedelta(microseconds=1), since + 16 * DAY):
        if not any(start >= tick for start in starts):
            return tick + within
    return None


@pytest.mark.parametrize("since", [SINCE, AUTUMN], ids=["clocks go forward", "clocks go back"])
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.lists(SECONDS, max_size=4),
    st.sampled_from(["1m", "30m", "3h", "2d"]),
    st.integers(0, 3),
    SECONDS,
)
def test_a_job_is_late_when_the_oracle_says_so(
    since: datetime, specs: list[ScheduleSpec], offsets: list[int], within: str, known: int, at: int
) -> None:
    starts = sorted(since + timedelta(seconds=offset) for offset in offsets)
    # The ticks were computed when only some of the runs were known, but at most as long ago as they reach.
    seen = starts[max(0, len(starts) - known) - 1] if len(starts) > known else since
    seconds = {"1m": 60.0, "30m": 1_800.0, "3h": 10_800.0, "2d": 172_800.0}[within]
    expected = job(specs, seen, Expectations(within=seconds), since=since)
    last_run = starts[-1] if starts else None
    assert expected.ticks
    if last_run is not None and last_run >= expected.ticks[-1]:
        return  # the next status flow knows more ticks
    facts = JobFacts(last_run=last_run)
    bound = slow_late_from(specs, since, starts, timedelta(seconds=seconds))

    assert late_from(expected, facts) == bound

    now = since + timedelta(seconds=at)
    found = judge(expected, facts, now, Limits())
    is_late = bound is not None and now > bound
    assert (found.verdict == Verdict.UNHEALTHY) == is_late
    if is_late:
        assert (found.reason, found.since) == (Reason.OVERDUE if starts else Reason.NOT_STARTED, bound)


def test_a_missed_night_is_late_an_hour_after_its_tick() -> None:
    nightly = job([spec(cron="0 2 * * *")])
    ran = JobFacts(
        last_run=datetime(2026, 3, 28, 2, 0, 3, tzinfo=UTC), last_run_due=datetime(2026, 3, 28, 2, tzinfo=UTC)
    )
    due = datetime(2026, 3, 29, 2, tzinfo=UTC)
    assert judge(nightly, ran, due + HOUR, Limits()).verdict == Verdict.HEALTHY
    found = judge(nightly, ran, due + HOUR + MINUTE, Limits())
    assert (found.reason, found.since) == (Reason.OVERDUE, due + HOUR)


def test_a_run_that_seems_to_start_before_its_tick_covers_it() -> None:
    due = datetime(2026, 3, 28, 2, tzinfo=UTC)
    skewed = JobFacts(last_run=due - timedelta(seconds=2), last_run_due=due)
    assert late_from(job([spec(cron="0 2 * * *")]), skewed) == due + DAY + HOUR


def test_a_job_that_is_not_due_yet_is_calm() -> None:
    nightly = job([spec(cron="0 2 * * *")])
    first = datetime(2026, 3, 28, 2, tzinfo=UTC)
    for now, overall in ((first, Verdict.HEALTHY), (first + MINUTE, Verdict.UNHEALTHY)):
        found = judge(nightly, JobFacts(), now, Limits())
        assert found.verdict == Verdict.NOT_STARTED
        assert judge_all({"nightly": found}, stale=False).verdict == overall


def test_a_job_whose_first_tick_has_passed_is_not_calm_again() -> None:
    hourly = replace(job([]), ticks=None, longest_interval_seconds=HOUR.total_seconds())
    # A tick as soon after the deployment as none is planned is not the first.
    unplanned = HOUR + PLANNING_TIME
    for planned_next, is_calm in ((MINUTE, True), (unplanned, True), (unplanned + timedelta(seconds=1), False)):
        found = judge(replace(hourly, next_run_at=SINCE + planned_next), JobFacts(), SINCE + planned_next, Limits())
        assert (found.verdict, found.is_calm) == (Verdict.NOT_STARTED, is_calm)


def test_a_job_whose_first_run_was_brought_forward_is_calm_until_its_tick() -> None:
    hourly = replace(job([]), ticks=None, longest_interval_seconds=HOUR.total_seconds())
    planned = replace(hourly, next_run_at=SINCE + HOUR + 10 * MINUTE)
    for now, is_calm in ((10 * MINUTE, True), (11 * MINUTE, False)):
        assert judge(planned, JobFacts(), SINCE + now, Limits()).is_calm == is_calm


def test_a_job_whose_last_tick_was_before_it_was_watched_is_calm() -> None:
    over = job([spec(rrule="DTSTART:20250101T000000\nRRULE:FREQ=DAILY;COUNT=3")])
    found = judge(over, JobFacts(), SINCE + DAY, Limits())
    assert (over.ticks, found.verdict, found.is_calm) == ([], Verdict.NOT_STARTED, True)


def test_a_job_that_has_no_worker_is_not_calm() -> None:
    first = datetime(2026, 3, 28, 2, tzinfo=UTC)
    found = judge(job([spec(cron="0 2 * * *")]), JobFacts(worker_absent_since=SINCE), first, Limits())
    assert judge_all({"nightly": found}, stale=False).verdict == Verdict.UNHEALTHY


@pytest.mark.parametrize(
    ("gap", "expected"), [(MINUTE, 10 * MINUTE), (2 * HOUR, 12 * MINUTE), (DAY, HOUR), (7 * DAY, HOUR)]
)
def test_the_grace_is_a_tenth_of_the_gap_within_bounds(gap: timedelta, expected: timedelta) -> None:
    assert grace(NO_TAGS, gap.total_seconds()) == expected


def test_a_job_only_prefect_knows_is_judged_by_what_was_seen() -> None:
    every_minute = job([spec(cron="* * * * *")], tags=Expectations(within=60))
    ran = JobFacts(last_run=SINCE + MINUTE, known_until=SINCE + 2 * MINUTE)
    assert judge(every_minute, ran, SINCE + 6 * MINUTE, Limits()).verdict == Verdict.HEALTHY


def test_a_run_may_take_as_long_as_its_tag_says() -> None:
    slow = job([spec(cron="0 2 * * *")], tags=Expectations(duration=600))
    going = JobFacts(last_run=SINCE, running_since=SINCE)
    assert judge(slow, going, SINCE + 10 * MINUTE, Limits()).verdict == Verdict.HEALTHY
    found = judge(slow, going, SINCE + 11 * MINUTE, Limits())
    assert (found.reason, found.since) == (Reason.STUCK, SINCE + 10 * MINUTE)


def test_a_job_without_a_success_for_too_long_is_unhealthy() -> None:
    fresh = job([spec(cron="* * * * *")], tags=Expectations(stale_after=7_200, within=86_400))
    facts = JobFacts(last_run=SINCE + 3 * HOUR, last_success=SINCE + HOUR)
    assert judge(fresh, facts, SINCE + 3 * HOUR, Limits()).verdict == Verdict.HEALTHY
    found = judge(fresh, facts, SINCE + 3 * HOUR + MINUTE, Limits())
    assert (found.reason, found.since) == (Reason.NO_SUCCESS, SINCE + 3 * HOUR)


def test_a_job_that_never_succeeded_is_judged_from_its_beginning() -> None:
    fresh = job([spec(cron="* * * * *")], tags=Expectations(stale_after=7_200, within=86_400))
    facts = JobFacts(last_run=SINCE + HOUR)
    assert judge(fresh, facts, SINCE + 2 * HOUR, Limits()).verdict == Verdict.HEALTHY
    found = judge(fresh, facts, SINCE + 2 * HOUR + MINUTE, Limits())
    assert (found.reason, found.since) == (Reason.NO_SUCCESS, SINCE + 2 * HOUR)
