"""The verdicts: each rule, their order, and what happens exactly on their boundaries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.monitoring.jobs.expectation_tags import Expectations
from flows.monitoring.verdicts.recovery import recovered_at
from flows.monitoring.verdicts.rules import (
    LOST_AFTER,
    LOST_FOR,
    ExpectedJob,
    JobFacts,
    Limits,
    Outcome,
    Reason,
    judge,
)

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=15)
MICROSECOND = timedelta(microseconds=1)
LIMITS = Limits()
# A schedule that may have an end, and for which nothing is planned.
UNPLANNED = {"planned_runs": 0, "next_run_at": None, "longest_interval_seconds": None}


def job(**changes: Any) -> ExpectedJob:
    values: dict[str, Any] = {
        "name": "poll_news",
        "longest_interval_seconds": INTERVAL.total_seconds(),
        "since": NOW - timedelta(days=7),
        "paused": False,
        "next_run_at": NOW + INTERVAL,
        "planned_runs": 3,
    }
    return ExpectedJob(**(values | changes))


def runs(*statuses: str, newest: datetime = NOW - timedelta(minutes=5)) -> tuple[Outcome, ...]:
    """Outcomes, newest first, one each interval; each run takes a minute."""
    starts = [newest - number * INTERVAL for number in range(len(statuses))]
    return tuple(
        Outcome(status=status, started_at=start, completed_at=start + timedelta(minutes=1))
        for status, start in zip(statuses, starts, strict=True)
    )


def facts(*statuses: str, newest: datetime = NOW - timedelta(minutes=5), **more: Any) -> JobFacts:
    values: dict[str, Any] = {"last_run": newest, "outcomes": runs(*statuses, newest=newest)}
    return JobFacts(**(values | more))


RECENT = NOW - timedelta(minutes=5)
VERDICTS: dict[str, tuple[ExpectedJob, JobFacts, str, str | None, datetime | None]] = {
    "ran lately": (job(), facts("success"), "healthy", None, None),
    "has lost its schedule": (
        job(has_lost_schedule=True),
        facts(),
        "unhealthy",
        "no_schedule",
        NOW - timedelta(days=7),
    ),
    "has a schedule that cannot be computed": (
        job(bad_schedules="rrule FREQ=DAILY;UNTIL=20271231T000000Z", longest_interval_seconds=None),
        facts("success", newest=NOW - timedelta(days=3)),
        "unhealthy",
        "bad_schedule",
        NOW - timedelta(days=7),
    ),
    "has no worker": (job(), facts("success", worker_absent_since=RECENT), "unhealthy", "no_worker", RECENT),
    "ran exactly 2 intervals ago": (job(), facts("success", newest=NOW - 2 * INTERVAL), "healthy", None, None),
    "ran a microsecond longer ago": (
        job(),
        facts("success", newest=NOW - 2 * INTERVAL - MICROSECOND),
        "unhealthy",
        "overdue",
        NOW - MICROSECOND,
    ),
    "ran an hour ago": (
        job(),
        facts("success", newest=NOW - timedelta(hours=1)),
        "unhealthy",
        "overdue",
        NOW - timedelta(minutes=30),
    ),
    "resumed a minute ago, after a day": (
        job(since=NOW - timedelta(minutes=1)),
        facts("success", newest=NOW - timedelta(days=1)),
        "healthy",
        None,
        None,
    ),
    "resumed an hour ago, and did not run since": (
        job(since=NOW - timedelta(hours=1)),
        facts("success", newest=NOW - timedelta(days=1)),
        "unhealthy",
        "overdue",
        NOW - timedelta(minutes=30),
    ),
    "never ran, new": (job(since=RECENT), JobFacts(), "not_started", None, RECENT),
    "never ran for exactly 2 intervals": (
        job(since=NOW - 2 * INTERVAL),
        JobFacts(),
        "not_started",
        None,
        NOW - 2 * INTERVAL,
    ),
    "never ran for a microsecond more": (
        job(since=NOW - 2 * INTERVAL - MICROSECOND),
        JobFacts(),
        "unhealthy",
        "not_started",
        NOW - MICROSECOND,
    ),
    "two failures": (job(), facts("failure", "failure", "success"), "healthy", None, None),
    "three failures": (
        job(),
        facts("failure", "failure", "failure"),
        "unhealthy",
        "failing",
        RECENT + timedelta(minutes=1),
    ),
    "five failures, the third of which was the last straw": (
        job(),
        facts("failure", "failure", "failure", "failure", "failure", "success"),
        "unhealthy",
        "failing",
        RECENT - 2 * INTERVAL + timedelta(minutes=1),
    ),
    "failures with refused ticks in between": (
        job(),
        facts("skipped", "failure", "cancelled", "failure", "missed", "failure", newest=RECENT),
        "unhealthy",
        "failing",
        RECENT - INTERVAL + timedelta(minutes=1),
    ),
    "a partial failure among failures": (
        job(),
        facts("failure", "failure", "partial_failure", "failure", "failure"),
        "healthy",
        None,
        None,
    ),
    "running for exactly its interval": (
        job(),
        JobFacts(last_run=NOW - INTERVAL, running_since=NOW - INTERVAL),
        "healthy",
        None,
        None,
    ),
    "running for a microsecond more": (
        job(),
        JobFacts(last_run=NOW - INTERVAL - MICROSECOND, running_since=NOW - INTERVAL - MICROSECOND),
        "unhealthy",
        "stuck",
        NOW - MICROSECOND,
    ),
    "stuck for so long that it is overdue as well": (
        job(),
        JobFacts(last_run=NOW - 5 * INTERVAL, running_since=NOW - 5 * INTERVAL),
        "unhealthy",
        "stuck",
        NOW - 4 * INTERVAL,
    ),
    "failing and overdue": (
        job(),
        facts("failure", "failure", "failure", newest=NOW - 3 * INTERVAL),
        "unhealthy",
        "overdue",
        NOW - INTERVAL,
    ),
    "paused and overdue": (job(paused=True), facts(newest=NOW - timedelta(days=1)), "paused", None, None),
    "paused before it ever ran": (job(paused=True), JobFacts(), "paused", None, None),
    "paused while stuck": (job(paused=True), JobFacts(running_since=NOW - timedelta(days=1)), "paused", None, None),
    "no schedule, ran long ago": (
        job(longest_interval_seconds=None),
        facts("success", newest=NOW - timedelta(days=9)),
        "healthy",
        None,
        None,
    ),
    "no schedule, never ran": (
        job(longest_interval_seconds=None),
        JobFacts(),
        "not_started",
        None,
        NOW - timedelta(days=7),
    ),
    "no schedule, failing": (
        job(longest_interval_seconds=None),
        facts("failure", "failure", "failure"),
        "unhealthy",
        "failing",
        RECENT + timedelta(minutes=1),
    ),
    "the worker's clock is 10 minutes ahead": (
        job(),
        facts("success", newest=NOW + timedelta(minutes=10)),
        "healthy",
        None,
        None,
    ),
}


@pytest.mark.parametrize(("expected", "known", "status", "reason", "since"), VERDICTS.values(), ids=list(VERDICTS))
def test_the_verdict_on_a_job_that(
    expected: ExpectedJob, known: JobFacts, status: str, reason: str | None, since: datetime | None
) -> None:
    judgement = judge(expected, known, NOW, LIMITS)
    assert (judgement.verdict, judgement.reason, judgement.since) == (status, reason, since)


@pytest.mark.parametrize(
    ("known", "age"),
    [
        (JobFacts(), None),
        (facts("success", newest=NOW - timedelta(seconds=90)), 90.0),
        (facts("success", newest=NOW + timedelta(minutes=10)), 0.0),
    ],
)
def test_the_age_is_that_of_the_last_start_and_never_negative(known: JobFacts, age: float | None) -> None:
    assert judge(job(), known, NOW, LIMITS).age_seconds == age


@pytest.mark.parametrize(
    ("expected", "known", "warnings"),
    [
        (job(), facts("success", new_rows=[0] * 8), ("stale_data",)),
        (job(), facts("success", new_rows=[0] * 8 + [5]), ("stale_data",)),
        (job(), facts("success", new_rows=[0] * 7), ()),
        (job(), facts("success", new_rows=[0] * 7 + [1]), ()),
        (job(), facts("success", is_budget_tight=True), ("budget",)),
        (job(planned_runs=0, next_run_at=None), facts("success"), ("no_planned_runs",)),
        (job(planned_runs=0), facts("success"), ()),
        (job(planned_runs=0, next_run_at=None, ticks=[]), facts("success"), ()),
        (job(planned_runs=0, next_run_at=None, ticks=[NOW + INTERVAL]), facts("success"), ("no_planned_runs",)),
        (job(planned_runs=0, next_run_at=None, longest_interval_seconds=None), facts("success"), ()),
        (job(**UNPLANNED, ticks=[NOW]), facts("success"), ()),
        (job(**UNPLANNED, ticks=[NOW + MICROSECOND]), facts("success"), ("no_planned_runs",)),
        (job(paused=True, planned_runs=0, next_run_at=None), facts("success"), ()),
        (job(tags=Expectations(wrong=("within=soon: not a duration",))), facts("success"), ("wrong_tag",)),
        (job(lost_schedules="every hour", since=NOW - LOST_AFTER), facts("success"), ("lost_schedule",)),
        (job(lost_schedules="every hour", since=NOW - LOST_AFTER + MICROSECOND), facts("success"), ()),
        (job(lost_schedules="every hour", since=NOW - LOST_FOR), facts("success"), ()),
        (job(since=NOW - LOST_AFTER), facts("success"), ()),
        (job(), facts("success", is_feature_off=True, warns_itself=True), ("feature_off", "measure")),
        (
            job(planned_runs=0, next_run_at=None),
            facts("success", new_rows=[0] * 8, is_budget_tight=True),
            ("stale_data", "budget", "no_planned_runs"),
        ),
    ],
)
def test_warnings_are_given_and_do_not_flip_the_verdict(
    expected: ExpectedJob, known: JobFacts, warnings: tuple[str, ...]
) -> None:
    judgement = judge(expected, known, NOW, LIMITS)
    assert judgement.warnings == warnings
    assert judgement.verdict == ("paused" if expected.paused else "healthy")


def test_the_thresholds_are_those_of_the_limits() -> None:
    limits = Limits(failing_after=1, stale_data_after=2)
    judgement = judge(job(), facts("failure", new_rows=[0, 0], is_budget_tight=True), NOW, limits)
    assert (judgement.reason, judgement.warnings) == ("failing", ("stale_data", "budget"))


SINCE = NOW - timedelta(hours=1)
LATER = SINCE + timedelta(minutes=7)
RECOVERIES: dict[str, tuple[str, JobFacts, datetime | None]] = {
    "overdue, runs again": ("overdue", JobFacts(last_run=LATER, running_since=LATER), LATER),
    "overdue, ran several times before anybody looked": (
        "overdue",
        facts("success", "success", "success", newest=LATER + 2 * INTERVAL),
        LATER,
    ),
    "never started, fails at once": ("not_started", facts("failure", newest=LATER), LATER),
    "overdue, resumed and not run": ("overdue", facts("success", newest=SINCE - INTERVAL), None),
    "failing, works again": (
        "failing",
        facts("success", "success", "failure", newest=LATER + INTERVAL),
        LATER + timedelta(minutes=1),
    ),
    "failing, works in part": (
        "failing",
        facts("partial_failure", "failure", newest=LATER),
        LATER + timedelta(minutes=1),
    ),
    "failing, only skipped since": ("failing", facts("skipped", "failure", newest=LATER), None),
    "stuck, then failed": ("stuck", facts("failure", newest=LATER), LATER + timedelta(minutes=1)),
    "stuck, then nothing known": ("stuck", JobFacts(), None),
}


@pytest.mark.parametrize(("reason", "known", "at"), RECOVERIES.values(), ids=list(RECOVERIES))
def test_the_time_of_the_recovery_of_a_job_that_was(reason: Reason, known: JobFacts, at: datetime | None) -> None:
    assert recovered_at(reason, SINCE, known) == at
