"""The verdict on all jobs together, and what holds for the verdict on any job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.monitoring.verdicts.overall import judge_all, judge_staleness
from flows.monitoring.verdicts.recovery import recovered_at
from flows.monitoring.verdicts.rules import (
    ExpectedJob,
    JobFacts,
    Judgement,
    Limits,
    Outcome,
    judge,
)
from flows.monitoring.vocabulary import Reason, Verdict

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIVE_MINUTES = timedelta(minutes=5)
WEEK = timedelta(days=7)


def status_flow(*, since: datetime = NOW - WEEK, paused: bool = False, interval: float | None = 300.0) -> ExpectedJob:
    return ExpectedJob(
        name="pipeline_status",
        longest_interval_seconds=interval,
        since=since,
        paused=paused,
        next_run_at=NOW + FIVE_MINUTES,
        planned_runs=3,
    )


def judgements(**verdicts: str) -> dict[str, Judgement]:
    return {
        name: Judgement(verdict=Verdict(verdict), reason=None, since=None, age_seconds=1.0)
        for name, verdict in verdicts.items()
    }


@pytest.mark.parametrize(
    ("jobs", "unhealthy"),
    [
        (judgements(a="healthy", b="healthy"), ()),
        (judgements(a="healthy", b="paused"), ()),
        (judgements(a="paused"), ()),
        (judgements(b="unhealthy", c="healthy", a="unhealthy"), ("a", "b")),
        (judgements(a="not_started"), ("a",)),
    ],
)
def test_all_is_healthy_if_no_job_is_alarming(jobs: dict[str, Judgement], unhealthy: tuple[str, ...]) -> None:
    overall = judge_all(jobs, stale=False)
    assert overall.unhealthy_jobs == unhealthy
    assert overall.verdict == ("unhealthy" if unhealthy else "healthy")


def test_a_job_that_has_not_started_can_be_tolerated_by_setting() -> None:
    jobs = judgements(a="not_started", b="unhealthy")
    overall = judge_all(jobs, stale=False, not_started_is_healthy=True)
    assert overall.unhealthy_jobs == ("b",)


def test_nothing_to_watch_is_not_health() -> None:
    assert judge_all({}, stale=False).verdict == "unhealthy"


@pytest.mark.parametrize(
    ("flow", "reported_at", "stale", "stale_since"),
    [
        (status_flow(), NOW - 3 * FIVE_MINUTES, False, None),
        (status_flow(), NOW - 3 * FIVE_MINUTES - MICROSECOND, True, NOW - MICROSECOND),
        (status_flow(), NOW + FIVE_MINUTES, False, None),
        (status_flow(since=NOW - 3 * FIVE_MINUTES), None, False, None),
        (status_flow(since=NOW - 4 * FIVE_MINUTES), None, True, NOW - FIVE_MINUTES),
        (status_flow(since=NOW - FIVE_MINUTES), NOW - WEEK, False, None),
        (status_flow(paused=True), NOW - WEEK, False, None),
        (status_flow(interval=None), NOW, True, None),
        (replace(status_flow(interval=None), is_on_demand=True), NOW - WEEK, False, None),
        (None, NOW, True, None),
    ],
)
def test_all_is_stale_when_the_status_flow_is_quiet(
    flow: ExpectedJob | None, reported_at: datetime | None, stale: bool, stale_since: datetime | None
) -> None:
    assert judge_staleness(flow, reported_at, NOW) == (stale, stale_since)
    overall = judge_all(judgements(a="healthy"), stale=stale, stale_since=stale_since)
    assert overall.verdict == ("unhealthy" if stale else "healthy")


MOMENTS = st.timedeltas(min_value=timedelta(0), max_value=WEEK).map(lambda before: NOW - before)
STATUSES = st.sampled_from(["success", "partial_failure", "failure", "skipped", "cancelled", "missed"])


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[Outcome, ...]:
    ends = sorted(draw(st.lists(MOMENTS, max_size=6)), reverse=True)
    return tuple(Outcome(status=draw(STATUSES), started_at=end - FIVE_MINUTES, completed_at=end) for end in ends)


JOBS = st.builds(
    ExpectedJob,
    name=st.just("job"),
    longest_interval_seconds=st.floats(min_value=1e-6, max_value=1e6) | st.none(),
    since=MOMENTS,
    paused=st.booleans(),
    next_run_at=st.none() | MOMENTS,
    planned_runs=st.integers(min_value=0, max_value=3),
)
FACTS = st.builds(
    JobFacts,
    last_run=st.none() | MOMENTS,
    last_success=st.none() | MOMENTS,
    running_since=st.none() | MOMENTS,
    outcomes=outcomes(),
    new_rows=st.lists(st.integers(min_value=0, max_value=2), max_size=9),
    worker_absent_since=st.none() | MOMENTS,
    is_budget_tight=st.booleans(),
)
LIMITS = st.builds(Limits, failing_after=st.integers(1, 4), stale_data_after=st.integers(1, 9))
INTERVALS = st.integers(min_value=1, max_value=10**12).map(lambda microseconds: timedelta(microseconds=microseconds))


def expected(interval: timedelta, since: datetime = NOW - WEEK) -> ExpectedJob:
    return ExpectedJob(
        name="job",
        longest_interval_seconds=interval.total_seconds(),
        since=since,
        paused=False,
        next_run_at=NOW,
        planned_runs=1,
    )


@given(job=JOBS, facts=FACTS, limits=LIMITS)
def test_a_verdict_is_consistent_in_itself(job: ExpectedJob, facts: JobFacts, limits: Limits) -> None:
    judgement = judge(job, facts, NOW, limits)
    assert (judgement.reason is not None) == (judgement.verdict == "unhealthy")
    assert (judgement.since is not None) == (judgement.verdict in ("unhealthy", "not_started"))
    assert judgement.since is None or judgement.since <= NOW
    assert (judgement.verdict == "paused") == job.paused
    assert judgement.age_seconds is None or judgement.age_seconds >= 0


@given(job=JOBS, facts=FACTS, limits=LIMITS, later=st.timedeltas(min_value=timedelta(0), max_value=WEEK))
def test_time_alone_never_heals(job: ExpectedJob, facts: JobFacts, limits: Limits, later: timedelta) -> None:
    if judge(job, facts, NOW, limits).verdict == "unhealthy":
        assert judge(job, facts, NOW + later, limits).verdict == "unhealthy"


@given(job=JOBS, facts=FACTS, limits=LIMITS)
def test_lateness_begins_exactly_at_the_time_given(job: ExpectedJob, facts: JobFacts, limits: Limits) -> None:
    judgement = judge(job, facts, NOW, limits)
    if judgement.reason in ("overdue", "not_started", "stuck") and judgement.since is not None:
        assert judge(job, facts, judgement.since, limits).reason != judgement.reason
        assert judge(job, facts, judgement.since + MICROSECOND, limits).reason == judgement.reason


@given(interval=INTERVALS, last_run=MOMENTS)
def test_a_job_is_overdue_a_microsecond_after_two_intervals(interval: timedelta, last_run: datetime) -> None:
    job, facts = expected(interval, since=last_run), JobFacts(last_run=last_run)
    exactly = last_run + 2 * interval
    assert judge(job, facts, exactly, Limits()).verdict == "healthy"
    late = judge(job, facts, exactly + MICROSECOND, Limits())
    assert (late.reason, late.since) == ("overdue", exactly)


@given(interval=INTERVALS, since=MOMENTS)
def test_a_new_job_is_tolerated_for_two_intervals(interval: timedelta, since: datetime) -> None:
    job, exactly = expected(interval, since=since), since + 2 * interval
    assert judge(job, JobFacts(), exactly, Limits()).verdict == "not_started"
    late = judge(job, JobFacts(), exactly + MICROSECOND, Limits())
    assert (late.verdict, late.reason, late.since) == ("unhealthy", "not_started", exactly)


@given(interval=INTERVALS, running_since=MOMENTS)
def test_a_run_is_stuck_from_the_microsecond_after_one_interval(interval: timedelta, running_since: datetime) -> None:
    job, facts = expected(interval, since=running_since), JobFacts(last_run=running_since, running_since=running_since)
    exactly = running_since + interval
    assert judge(job, facts, exactly, Limits()).verdict == "healthy"
    late = judge(job, facts, exactly + MICROSECOND, Limits())
    assert (late.reason, late.since) == ("stuck", exactly)


@given(failures=st.integers(0, 6), limit=st.integers(1, 4), noise=st.sampled_from(["skipped", "cancelled", "missed"]))
def test_a_job_fails_from_the_nth_failure_in_a_row(failures: int, limit: int, noise: str) -> None:
    statuses = ["success", *[status for _ in range(failures) for status in (noise, "failure")]]
    ends = [NOW - timedelta(minutes=len(statuses) - number) for number in range(len(statuses))]
    oldest_first = [
        Outcome(status=status, started_at=end, completed_at=end) for status, end in zip(statuses, ends, strict=True)
    ]
    facts = JobFacts(last_run=NOW, outcomes=oldest_first[::-1])
    judgement = judge(expected(FIVE_MINUTES), facts, NOW, Limits(failing_after=limit))
    assert (judgement.reason == "failing") == (failures >= limit)
    if failures >= limit:
        nth = [outcome.completed_at for outcome in oldest_first if outcome.status == "failure"][limit - 1]
        assert judgement.since == nth


@given(facts=FACTS, since=MOMENTS, reason=st.sampled_from(Reason))
def test_a_recovery_comes_after_what_it_ends(facts: JobFacts, since: datetime, reason: Reason) -> None:
    at = recovered_at(reason, since, facts)
    assert at is None or since < at <= NOW
