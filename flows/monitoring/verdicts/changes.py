"""The changes of verdict: found, damped, and stored so that each is told once.

The database holds the last verdict on each job. A change is made by compare-and-set, so of several processes that
notice it one makes it; its time is when it happened, not when it was noticed; and it stays an unsent notice until
somebody was told (`flows.monitoring.alarms.publish`).

Against flapping: a job turns unhealthy when two judgements in a row found it so, and healthy again when it has been so
for as long as two judgements are apart. So nobody is told of a blip between two judgements, nor of a short recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import reading
from flows.logs import redact
from flows.monitoring.jobs.registry import AbsentWorker, note_absent_workers
from flows.monitoring.verdicts.outages import Outage, last_outages
from flows.monitoring.verdicts.overall import is_silence
from flows.monitoring.verdicts.queries import OutcomeRow, latest_outcomes
from flows.monitoring.verdicts.recovery import recovered_at
from flows.monitoring.verdicts.report import JobReport, Report, outcome_of, read_report
from flows.monitoring.verdicts.rules import Judgement
from flows.monitoring.verdicts.stored import (
    Change,
    Transition,
    VerdictRow,
    change_verdict,
    change_verdicts,
    read_verdicts,
    retired_in_trouble,
    set_bad_streaks,
)
from flows.monitoring.verdicts.wording import explain_job, explain_warning
from flows.monitoring.vocabulary import STATUS_FLOW, TOLD_WARNINGS, Reason, Verdict, WarningCode
from flows.settings import MonitoringSettings

# How many judgements in a row must find a job unhealthy.
CONFIRMATIONS = 2
# As many as tell when an outage of half a day (at 15 minutes) ended.
OUTCOMES = 50


async def judge(
    engine: AsyncEngine, settings: MonitoringSettings, absent: Mapping[str, AbsentWorker | None] | None = None
) -> Report:
    """Judge every expected job, store what has changed, and return the report.

    1. Note which jobs no worker would execute (`absent`, by the job's name; None for those that have one), for
       everybody who judges.
    2. Read the report: the rules' verdict on each job, at one moment of the database's clock. People hear of a dead
       worker minutes after its death, and not only when a job is overdue.
    3. Compare with the stored verdicts, and store each change that is confirmed.
    4. Of jobs that were retired while they were unhealthy, or warned of, note that nothing is expected any more: so
       ends an outage.
    5. If the status flow itself had been silent, note that as an outage which is over: it is judging again.

    Safe to repeat, and to run twice at once. Raises DatabaseUnavailable.
    """
    async with engine.begin() as connection:
        await note_absent_workers(connection, absent or {})
    async with reading(engine) as connection:
        report = await read_report(connection, settings, is_judging=True)
    async with engine.begin() as connection:
        stored = await read_verdicts(connection)
        if STATUS_FLOW in stored and report.silent_since is not None:
            status_flow = report.jobs[STATUS_FLOW]
            await _note_silence(connection, stored.pop(STATUS_FLOW), status_flow, report.silent_since, report.at)
        seen = [_Seen(stored[name], job) for name, job in report.jobs.items() if name in stored]
        await set_bad_streaks(
            connection, {each.stored.job_name: each.streak for each in seen if each.streak != each.stored.bad_streak}
        )
        retired = await retired_in_trouble(connection)
        ended = [each.stored.job_name for each in seen if each.was_bad and not each.is_bad]
        unhealthy = [name for name, row in retired.items() if row.status == Verdict.UNHEALTHY]
        outages = await last_outages(connection, [*ended, *unhealthy])
        outcomes = await latest_outcomes(connection, ended, OUTCOMES)
        changes = [_change(each, report, outages, outcomes) for each in seen if each.is_news]
        changes += [_retirement(row, report.at, outages) for row in retired.values()]
        await change_verdicts(connection, [change for change in changes if change is not None])
    return report


@dataclass(frozen=True)
class _Seen:
    """A job's last verdict, and what was found now."""

    stored: VerdictRow
    job: JobReport

    @property
    def reason(self) -> Reason | WarningCode | None:
        return self.job.judgement.reason or _remark(self.job.judgement)

    @property
    def is_news(self) -> bool:
        return (self.job.judgement.verdict, self.reason) != (self.stored.status, self.stored.reason)

    @property
    def is_bad(self) -> bool:
        return self.job.judgement.verdict == Verdict.UNHEALTHY

    @property
    def was_bad(self) -> bool:
        return self.stored.status == Verdict.UNHEALTHY

    @property
    def streak(self) -> int:
        """How many judgements in a row found it unhealthy, as far as that matters."""
        return min(self.stored.bad_streak + 1, CONFIRMATIONS) if self.is_bad else 0


def _change(
    seen: _Seen, report: Report, outages: Mapping[str, Outage], outcomes: Mapping[str, Sequence[OutcomeRow]]
) -> Change | None:
    """The change of a job's verdict; None if it is not confirmed yet."""
    stored, job = seen.stored, seen.job
    at, details = job.judgement.since or report.at, dict[str, Any]()
    if seen.is_bad:
        if not seen.was_bad and seen.streak < CONFIRMATIONS:
            return None
        details = circumstances_of(job, report.at)
    elif seen.was_bad:
        details = _ended_outage(stored, outages)
        if job.judgement.verdict == Verdict.HEALTHY:
            recovered = _recovered_at(stored, job, outcomes.get(stored.job_name, ()))
            if (
                recovered is not None
                and stored.reason != Reason.NO_WORKER
                and recovered > report.at - _between_judgements(report)
            ):
                return None
            at = recovered or report.at
    elif stored.reason in TOLD_WARNINGS:
        details = _ended_outage(stored, {})
    if isinstance(seen.reason, WarningCode):
        details["remark"] = explain_warning(seen.reason, job)
    if seen.reason == WarningCode.LOST_SCHEDULE and stored.status == Verdict.HEALTHY:
        at = job.expected.since  # when it was lost, which is told ten minutes later
    transition = Transition(
        job_name=stored.job_name,
        from_status=stored.status,
        to_status=job.judgement.verdict,
        reason=seen.reason,
        # Facts may come late, and tell of the time before; what comes after a verdict does not begin before it.
        at=max(at, stored.status_since),
        details=details,
    )
    return Change(transition, stored.reason)


def _ended_outage(stored: VerdictRow, outages: Mapping[str, Outage]) -> dict[str, Any]:
    """What a message on the end of a job's outage says of it."""
    outage = outages.get(stored.job_name)
    began = stored.status_since if outage is None else outage.began
    return {
        "outage_began": began.isoformat(),
        "outage_reason": stored.reason,
        "work_pool_without_worker": outage and outage.details.get("work_pool_without_worker"),
    }


def _retirement(stored: VerdictRow, now: datetime, outages: Mapping[str, Outage]) -> Change:
    retired = Transition(
        job_name=stored.job_name,
        from_status=stored.status,
        to_status=Verdict.PAUSED,
        reason=None,
        at=max(now, stored.status_since),
        details={**_ended_outage(stored, outages), "retired": True},
    )
    return Change(retired, stored.reason)


async def _note_silence(
    connection: AsyncConnection, stored: VerdictRow, job: JobReport, since: datetime, now: datetime
) -> None:
    if since < stored.status_since:
        # It has been noted already, by a run that failed afterwards. Since the last of those, it may be silent again.
        last_end = job.last_failure.completed_at if job.last_failure is not None else stored.status_since
        since = max(stored.status_since, last_end)
        if not is_silence(job.expected, since, now):
            return
    silence = Transition(
        job_name=stored.job_name,
        from_status=stored.status,
        to_status=Verdict.UNHEALTHY,
        reason=Reason.STALE,
        at=since,
        details={},
    )
    if await change_verdict(connection, silence, from_reason=stored.reason):
        over = Transition(
            job_name=stored.job_name,
            from_status=Verdict.UNHEALTHY,
            to_status=Verdict.HEALTHY,
            reason=None,
            at=now,
            details={"outage_began": since.isoformat(), "outage_reason": Reason.STALE},
        )
        await change_verdict(connection, over, from_reason=Reason.STALE)


def _remark(seen: Judgement) -> WarningCode | None:
    """What is stored, and so told, of a healthy job in the place of a reason: what people are to be warned of."""
    if seen.verdict != Verdict.HEALTHY:
        return None
    return next((warning for warning in TOLD_WARNINGS if warning in seen.warnings), None)


def _recovered_at(stored: VerdictRow, job: JobReport, outcomes: Sequence[OutcomeRow]) -> datetime | None:
    """When the job became healthy again, or None if the facts do not show it."""
    # A report has no more of them than tell that an outage goes on.
    facts = replace(job.facts, outcomes=[outcome_of(row) for row in outcomes])
    match stored.reason:
        case Reason.OVERDUE | Reason.NOT_STARTED | Reason.FAILING | Reason.STUCK | Reason.NO_SUCCESS:
            return recovered_at(stored.reason, stored.status_since, facts)
        case Reason.NO_SCHEDULE | Reason.BAD_SCHEDULE:
            return job.expected.since  # when it was given one
        case _:
            return recovered_at(Reason.OVERDUE, stored.status_since, facts)


def _between_judgements(report: Report) -> timedelta:
    status_flow = report.jobs.get(STATUS_FLOW)
    return timedelta(seconds=(status_flow and status_flow.expected.longest_interval_seconds) or 0)


def circumstances_of(job: JobReport, now: datetime) -> dict[str, Any]:
    """Return what a message says of an unhealthy job, noted when it is found: it may be delivered much later."""
    last_failure = job.last_failure
    # What fails, or hangs, does so for another reason, whatever has become of the worker since.
    is_for_want_of_worker = job.judgement.reason in (Reason.NO_WORKER, Reason.OVERDUE, Reason.NOT_STARTED)
    absent_since = job.facts.worker_absent_since if is_for_want_of_worker else None
    return {
        "explanation": explain_job(job, now),
        # The log keeps what the run has said; what leaves it is for everybody's eyes.
        "last_error": last_failure and redact(last_failure.error_message),
        "failed_run": last_failure and str(last_failure.execution_id),
        "open_run": str(job.running_id) if job.running_id is not None else None,
        "work_pool_without_worker": job.facts.absent_work_pool if is_for_want_of_worker else None,
        "worker_absent_since": absent_since and absent_since.isoformat(),
    }
