"""What is expected of a job, as it is stored, in the form that the rules want."""

from datetime import datetime, timedelta
from typing import cast

from flows.monitoring.jobs.expectation_tags import from_json
from flows.monitoring.jobs.registry import StoredJob
from flows.monitoring.jobs.schedules import (
    LONGEST_INTERVAL_SECONDS,
    InvalidSchedule,
    ScheduleSpec,
    schedule_in_words,
    ticks_between,
)
from flows.monitoring.verdicts.rules import ExpectedJob


def expected_of(job: StoredJob) -> ExpectedJob:
    """Say what is expected of it."""
    # One that is longer was stored before such schedules were refused.
    interval = job.interval_seconds if 0 < job.interval_seconds <= LONGEST_INTERVAL_SECONDS else None
    is_unscheduled = not job.paused and not job.schedule
    return ExpectedJob(
        name=job.job_name,
        longest_interval_seconds=interval,
        since=job.since,
        paused=job.paused,
        has_lost_schedule=is_unscheduled and job.ticks is None,
        is_on_demand=is_unscheduled and job.ticks is not None,
        bad_schedules=_bad_schedules(job) if interval is None else "",
        next_run_at=job.next_run_at,
        planned_runs=job.planned_runs,
        ticks=None if job.ticks is None else [datetime.fromisoformat(tick) for tick in job.ticks],
        lost_schedules=schedule_in_words(cast("list[ScheduleSpec]", lost)) if (lost := job.lost_schedules) else "",
        tags=from_json(job.expectations),
    )


def next_tick_of(job: StoredJob, last_run: datetime | None, now: datetime) -> datetime | None:
    """Return the tick planned when the status flow last looked, or, if the job has run since, the tick after."""
    if job.paused or job.next_run_at is None:
        return None
    if job.next_run_at > now or last_run is None or last_run < job.next_run_at:
        return job.next_run_at
    schedule = cast("list[ScheduleSpec]", job.schedule)
    # Other kinds take Prefect to compute, which is too heavy for the readers of this report.
    if not all(spec["interval"] for spec in schedule if spec["active"]):
        return None
    until = now + timedelta(seconds=job.interval_seconds) + timedelta(microseconds=1)
    try:
        return next(iter(ticks_between(schedule, now, until)), None)
    except InvalidSchedule:
        return None


def _bad_schedules(job: StoredJob) -> str:
    """Those of a job without an interval, if it is for want of a schedule that can be computed.

    Of one whose ticks are over, that is known: it has none to come.
    """
    if job.paused or job.ticks is not None or job.next_run_at is not None or job.planned_runs:
        return ""
    specs = cast("list[ScheduleSpec]", job.schedule)
    return schedule_in_words(specs) if any(spec["active"] for spec in specs) else ""
