"""The verdict on a job, from what was expected of it and what is known about its runs. Pure.

Everything is measured against one `now`, the database's clock. Runs carry the clocks of the machines that wrote them:
an age that would be negative is 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from flows.monitoring.jobs.expectation_tags import NO_TAGS, Expectations
from flows.monitoring.vocabulary import Reason, Status, Verdict, WarningCode

# A job is overdue after this many of its intervals.
OVERDUE_INTERVALS = 2
# A schedule is lost when it has been gone for so long, as who changes one may delete it first; and after a week without
# it that counts as meant.
LOST_AFTER, LOST_FOR = timedelta(minutes=10), timedelta(days=7)
# How soon after a job began a tick is not its first: none is planned that soon. (PLANNING_TIME, in a module that knows
# the database.) And an interval of days is an hour longer or shorter where clocks change.
_UNPLANNED, _CLOCK_CHANGE = timedelta(seconds=15), timedelta(hours=1)
SHORTEST_GRACE, LONGEST_GRACE = timedelta(minutes=10), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ExpectedJob:
    """What is expected of a job."""

    name: str
    longest_interval_seconds: float | None
    """The longest gap between its ticks; None if nothing is scheduled, and then it cannot be late."""
    since: datetime
    """From when on it is expected to run: when it was first seen, or last resumed, or given another schedule."""
    paused: bool
    next_run_at: datetime | None
    """When the scheduler will start it next, as far as it has planned, or is about to plan."""
    planned_runs: int
    """How many runs the scheduler has planned."""
    ticks: Sequence[datetime] | None = None
    """Its first ticks after what was once its last run, oldest first; None where the rule of 2 intervals holds."""
    has_lost_schedule: bool = False
    """Whether it had a schedule, has none since `since`, and is not paused."""
    is_on_demand: bool = False
    """Whether it never had a schedule, and is not paused: something else starts it, such as an event."""
    bad_schedules: str = ""
    """In words, its schedules, where they cannot be computed and Prefect has planned nothing; empty if they can."""
    lost_schedules: str = ""
    """In words, those that it has lost since `since`, while it kept others; empty if it has lost none."""
    tags: Expectations = NO_TAGS
    """What its tags say."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run of a job ended."""

    status: str
    """A final status of the execution log. Skipped, cancelled and missed runs say nothing about the job's health."""
    started_at: datetime
    completed_at: datetime


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What is known about a job's runs. A run that was skipped, cancelled or missed is not a run."""

    last_run: datetime | None = None
    """When the last run started, be it over or not."""
    last_run_due: datetime | None = None
    """The tick that the last run was for."""
    known_until: datetime | None = None
    """Up to when runs are known, where they are known from Prefect alone, every few minutes; None: up to now."""
    last_success: datetime | None = None
    """When the last successful run completed. For the reader of a report: no rule asks for it."""
    running_since: datetime | None = None
    """When the run that is going on started; the oldest one, if several are."""
    outcomes: Sequence[Outcome] = ()
    """The last outcome; or, if that is a failure, the first failures since it last did not fail, newest first: as many
    as make a job failing, so that the time at which it began to be failing is exact."""
    new_rows: Sequence[int] = ()
    """How many new rows each of the last successful runs brought, newest first; the last alone if it brought some."""
    worker_absent_since: datetime | None = None
    """Since when no worker has polled its work pool, as Prefect was last asked; None while one does."""
    absent_work_pool: str | None = None
    """That work pool. For the reader of a report: no rule asks for it."""
    is_feature_off: bool = False
    """Whether the job itself reports that it can do nothing, such as for want of a plan."""
    is_budget_tight: bool = False
    """Whether a budget that the job itself reports is nearly used up."""
    warns_itself: bool = False
    """Whether the job itself warns of something that it measures."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds, which are settings."""

    failing_after: int = 3
    """Failed runs in a row."""
    stale_data_after: int = 8
    """Successful runs in a row without a new row."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What there is to say about a job."""

    verdict: Verdict
    reason: Reason | None
    """Why it is unhealthy; None if it is not."""
    since: datetime | None
    """When it became so, which is before anybody noticed. None for healthy and paused, where the facts do not tell."""
    age_seconds: float | None
    """Since the last run started; None if it never ran."""
    warnings: tuple[WarningCode, ...] = ()
    is_calm: bool = False
    """Whether it has not started because its first tick is yet to come."""


def judge(job: ExpectedJob, facts: JobFacts, now: datetime, limits: Limits) -> Judgement:
    """Judge `job` at `now` by the first that holds, in this order:

    1. paused: the deployment is paused. Neither healthy nor alarming, whatever else is wrong.
    2. unhealthy, no_schedule or bad_schedule: it has lost its schedule, or has one that cannot be computed.
    3. unhealthy, stuck: a run has been going for longer than its `duration`, or the interval.
    4. unhealthy, overdue: late, as `late_from` tells. Exactly at that moment it is healthy.
    5. unhealthy, not_started: late, and it never ran.
    6. unhealthy, failing: the last N outcomes are failures. A partial failure does not count: it stored something.
    7. unhealthy, no_success: the last success is longer ago than `stale_after`.
    8. healthy: it never had a schedule. Nobody knows when it is to run next.
    9. unhealthy, no_worker: nothing is wrong yet, but nobody would execute its next run.
    10. not_started: it never ran, and need not have.
    11. healthy.
    """
    age = None if facts.last_run is None else max(0.0, (now - facts.last_run).total_seconds())
    verdict, reason, since = _judge(job, facts, now, limits)
    return Judgement(
        verdict=verdict,
        reason=reason,
        since=since,
        age_seconds=age,
        warnings=tuple(_warnings(job, facts, now, limits)),
        is_calm=verdict == Verdict.NOT_STARTED and _is_before_first_tick(job, now),
    )


def late_from(job: ExpectedJob, facts: JobFacts) -> datetime | None:
    """Say after which moment the job is late unless a run starts; None if nothing is due, or it is not known what.

    By its known ticks: `within`, or a grace, after the first tick that no run has covered. A run covers the ticks up to
    its start. Without: 2 intervals after the last run started. Time before `since` does not count, so that a job that
    was resumed is not late at once.
    """
    if job.ticks is None:
        if job.longest_interval_seconds is None:
            return None
        interval = timedelta(seconds=job.longest_interval_seconds)
        return max(job.since, facts.last_run or job.since) + OVERDUE_INTERVALS * interval
    covered = max(filter(None, (job.since, facts.last_run, facts.last_run_due)))
    due = next((tick for tick in job.ticks if tick > covered), None)
    return None if due is None else due + grace(job.tags, job.longest_interval_seconds)


def grace(tags: Expectations, longest_interval_seconds: float | None) -> timedelta:
    """Say how long after a tick a run may start: `within`, or a tenth of the gap between ticks, 10 minutes to 1 hour.

    10 minutes, because runs that only Prefect knows of are seen every 5; an hour, because who has a nightly job wants
    to hear of it before the day begins.
    """
    if tags.within is not None:
        return timedelta(seconds=tags.within)
    tenth = timedelta(seconds=longest_interval_seconds or 0) / 10
    return min(max(tenth, SHORTEST_GRACE), LONGEST_GRACE)


def _judge(
    job: ExpectedJob, facts: JobFacts, now: datetime, limits: Limits
) -> tuple[Verdict, Reason | None, datetime | None]:
    if job.paused:
        return Verdict.PAUSED, None, None
    if job.has_lost_schedule:
        return Verdict.UNHEALTHY, Reason.NO_SCHEDULE, job.since
    if job.bad_schedules:
        return Verdict.UNHEALTHY, Reason.BAD_SCHEDULE, job.since
    seen_until = min(now, facts.known_until or now)
    longest_run = job.tags.duration or job.longest_interval_seconds
    if facts.running_since is not None and longest_run is not None:
        stuck_from = facts.running_since + timedelta(seconds=longest_run)
        # It was going when last seen, and may be over since.
        if seen_until > stuck_from:
            return Verdict.UNHEALTHY, Reason.STUCK, stuck_from
    bound = late_from(job, facts)
    if bound is not None and seen_until > bound:
        return Verdict.UNHEALTHY, Reason.NOT_STARTED if facts.last_run is None else Reason.OVERDUE, bound
    failing_after = job.tags.failing_after or limits.failing_after
    failures = list(takewhile(lambda outcome: outcome.status == Status.FAILURE, telling(facts.outcomes)))
    if len(failures) >= failing_after:
        return Verdict.UNHEALTHY, Reason.FAILING, failures[-failing_after].completed_at
    if job.tags.stale_after is not None:
        stale_from = max(job.since, facts.last_success or job.since) + timedelta(seconds=job.tags.stale_after)
        if seen_until > stale_from:
            return Verdict.UNHEALTHY, Reason.NO_SUCCESS, stale_from
    if job.is_on_demand:
        return Verdict.HEALTHY, None, None
    if facts.worker_absent_since is not None:
        return Verdict.UNHEALTHY, Reason.NO_WORKER, max(facts.worker_absent_since, job.since)
    if facts.last_run is None:
        return Verdict.NOT_STARTED, None, job.since
    return Verdict.HEALTHY, None, None


def _is_before_first_tick(job: ExpectedJob, now: datetime) -> bool:
    if job.ticks is not None:
        # One whose ticks were all over before anybody watched has none to come.
        return not job.ticks or now <= job.ticks[0]
    if job.next_run_at is None or now > job.next_run_at:
        return False
    # What is planned next moves on with each look: it is the first if the tick before it lies before the job. And that
    # one may be still to come, as `up` brings the run of a job's next tick forward.
    interval = timedelta(seconds=job.longest_interval_seconds or 0)
    before = job.next_run_at - interval
    spare = _CLOCK_CHANGE if interval >= timedelta(days=1) else _UNPLANNED
    return before <= job.since + spare or now <= before


def telling(outcomes: Iterable[Outcome]) -> Iterable[Outcome]:
    """Keep the outcomes of runs that did something."""
    return (each for each in outcomes if each.status in (Status.SUCCESS, Status.PARTIAL_FAILURE, Status.FAILURE))


def _warnings(job: ExpectedJob, facts: JobFacts, now: datetime, limits: Limits) -> Iterable[WarningCode]:
    latest = facts.new_rows[: limits.stale_data_after]
    if len(latest) == limits.stale_data_after and not any(latest):
        yield WarningCode.STALE_DATA
    if job.tags.wrong:
        yield WarningCode.WRONG_TAG
    if job.lost_schedules and LOST_AFTER <= now - job.since < LOST_FOR:
        yield WarningCode.LOST_SCHEDULE
    if facts.is_feature_off:
        yield WarningCode.FEATURE_OFF
    if facts.is_budget_tight:
        yield WarningCode.BUDGET
    if facts.warns_itself:
        yield WarningCode.MEASURE
    if not job.paused and _has_ticks_ahead(job, now) and job.planned_runs == 0 and job.next_run_at is None:
        yield WarningCode.NO_PLANNED_RUNS


def _has_ticks_ahead(job: ExpectedJob, now: datetime) -> bool:
    """Whether its schedules have ticks to come, as far as is known: none where all are over, or cannot be read."""
    if job.longest_interval_seconds is None:
        return any(tick > now for tick in job.ticks or ())
    return job.ticks is None or len(job.ticks) > 0
