"""The health report as JSON: what `GET /health/scheduler` and `vibecheck status --json` give."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.monitoring.alarms.audience import Audience
from flows.monitoring.verdicts.budgets import Budget
from flows.monitoring.verdicts.measures import Measure
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.wording import explain_all, explain_job
from flows.monitoring.vocabulary import Reason, Verdict, WarningCode

UNAVAILABLE = (
    "The database cannot be read, or not in time, so nothing can be said about the jobs. "
    "The health service's log says why."
)


class Silenced(BaseModel):
    """People are not told of a job."""

    model_config = ConfigDict(frozen=True)

    until: Annotated[datetime | None, Field(description="Until when; null: until the job is healthy again.")]
    reason: Annotated[str, Field(description="Why, as somebody said who silenced it.")]


class Refusing(BaseModel):
    """A receiver that did not take the last alarm."""

    model_config = ConfigDict(frozen=True)

    receiver: Annotated[str, Field(description="Its name: `default`, `owner …` or `severity …`.")]
    since: Annotated[datetime, Field(description="Since when it has taken none.")]
    error: Annotated[str, Field(description="Why, without its address.")]


class JobHealth(BaseModel):
    """The verdict on one job. `status`, `last_run` and `age_seconds` are what monitors have always read."""

    model_config = ConfigDict(frozen=True)

    status: Verdict
    last_run: Annotated[
        datetime | None, Field(description="When the last run started; null if it never ran. A skipped run is none.")
    ]
    age_seconds: Annotated[float | None, Field(description="Since then, by the database's clock.", ge=0)]
    reason: Annotated[Reason | None, Field(description="Why the job is unhealthy; null if it is not.")]
    explanation: Annotated[str, Field(description="The verdict in words.")]
    since: Annotated[datetime | None, Field(description="When it became so; null for a healthy or paused job.")]
    last_success: Annotated[datetime | None, Field(description="When the last successful run ended.")]
    next_run: Annotated[datetime | None, Field(description="When it is due next; in the past if it is late.")]
    interval_seconds: Annotated[
        float | None, Field(description="The longest time between its scheduled runs; null if nothing schedules it.")
    ]
    warnings: Annotated[
        list[WarningCode], Field(description="What deserves a look, though it does not make the job unhealthy.")
    ]
    silenced: Annotated[Silenced | None, Field(description="Whether people are not told of it; null if they are.")]
    measures: Annotated[list[Measure], Field(description="What the job reports of what it measures.")]


class SchedulerHealth(BaseModel):
    """The verdict on all jobs."""

    model_config = ConfigDict(frozen=True)

    status: Literal[Verdict.HEALTHY, Verdict.UNHEALTHY]
    reason: Annotated[
        Literal["database_unavailable", "no_jobs", "stale", "jobs"] | None,
        Field(
            description="Why the whole is unhealthy. `database_unavailable`: nothing is known. `no_jobs`: nothing is "
            "expected to run. `stale`: the status flow has gone quiet, so the log may be out of date (jobs may be "
            "unhealthy as well). `jobs`: at least one job is unhealthy or has not started."
        ),
    ]
    explanation: Annotated[str, Field(description="The verdict in words.")]
    checked_at: Annotated[
        datetime | None, Field(description="The database's time of this report; null if it could not be asked.")
    ]
    jobs: Annotated[dict[str, JobHealth], Field(description="By the job's name.")]
    data_notes: Annotated[list[str], Field(description="What jobs say of their data: that it is made up, for example.")]
    refusing: Annotated[list[Refusing], Field(description="The receivers that alarms cannot be delivered to.")]
    budgets: Annotated[list[Budget], Field(description="What jobs report of budgets that they spend.")]


class Alive(BaseModel):
    """The health service itself answers."""

    status: Literal["alive"] = "alive"


def document_of(report: Report, audience: Audience) -> SchedulerHealth:
    """Return the report as it is published: no error messages of runs and no addresses in it."""
    return SchedulerHealth(
        status=report.overall.verdict,
        reason=_reason(report),
        explanation=explain_all(report),
        checked_at=report.at.astimezone(UTC),
        jobs={name: _job(job, report, audience) for name, job in report.jobs.items()},
        refusing=[
            Refusing(receiver=refusal.receiver, since=refusal.since, error=refusal.error)
            for refusal in audience.refusals
        ],
        data_notes=list(report.data_notes),
        budgets=list(report.budgets),
    )


def unavailable_document(explanation: str = UNAVAILABLE) -> SchedulerHealth:
    """Return what to publish when the report cannot be read."""
    return SchedulerHealth(
        status=Verdict.UNHEALTHY,
        reason="database_unavailable",
        explanation=explanation,
        checked_at=None,
        jobs={},
        data_notes=[],
        refusing=[],
        budgets=[],
    )


def _job(job: JobReport, report: Report, audience: Audience) -> JobHealth:
    judgement = job.judgement
    silence = audience.silence_of(job.expected.name)
    return JobHealth(
        status=judgement.verdict,
        last_run=job.facts.last_run,
        age_seconds=judgement.age_seconds,
        reason=judgement.reason,
        explanation=explain_job(job, report.at),
        since=judgement.since,
        last_success=job.facts.last_success,
        next_run=job.next_tick,
        interval_seconds=job.expected.longest_interval_seconds,
        warnings=list(judgement.warnings),
        silenced=silence and Silenced(until=silence.until, reason=silence.reason),
        measures=list(job.measures),
    )


def _reason(report: Report) -> Literal["no_jobs", "stale", "jobs"] | None:
    if report.overall.verdict == Verdict.HEALTHY:
        return None
    if not report.jobs:
        return "no_jobs"
    return "stale" if report.overall.stale else "jobs"
