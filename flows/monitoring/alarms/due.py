"""What is due to be said of each job: what has changed, what is still so, and what nobody could be told before."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Notice
from flows.monitoring.alarms.notices import notice_of, reminder_of, warning_of
from flows.monitoring.verdicts.changes import circumstances_of
from flows.monitoring.verdicts.outages import Outage
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.stored import TransitionRow, VerdictRow
from flows.monitoring.verdicts.wording import explain_warning
from flows.monitoring.vocabulary import TOLD_WARNINGS, Verdict, WarningCode
from flows.settings import MonitoringSettings


def due_notice(
    verdict: VerdictRow,
    own: Sequence[TransitionRow],
    last_outage: Outage | None,
    report: Report,
    settings: MonitoringSettings,
    links: Links,
    severity: str | None,
    *,
    is_owed: bool = False,
) -> Notice | None:
    """Say what there is to tell of a job; None if that is nothing.

    These changes, `own`; or a warning that began while the job was silenced; or that it is still unhealthy, if that is
    due or `is_owed` to a receiver.
    """
    job = report.jobs.get(verdict.job_name)
    if own:
        looks_healthy = job is not None and job.judgement.verdict != Verdict.UNHEALTHY
        if (notice := notice_of(own, report.at, links, severity, looks_healthy=looks_healthy)) is not None:
            return notice
    if job is not None and _is_untold_warning(verdict, job):
        return warning_of(
            verdict.job_name,
            WarningCode(verdict.reason),
            verdict.status_since,
            explain_warning(WarningCode(verdict.reason), job),
            report.at,
            links,
        )
    if verdict.status != Verdict.UNHEALTHY or job is None or job.judgement.verdict != Verdict.UNHEALTHY:
        return None
    outage = last_outage or Outage(verdict.status_since, {})
    told_at = verdict.last_notified_at
    is_first = told_at is None or told_at < outage.began
    due = report.at if told_at is None or is_first else told_at + timedelta(seconds=settings.reminder_seconds)
    if report.at < due and not is_owed:
        return None
    details = circumstances_of(job, report.at)
    return reminder_of(
        verdict.job_name, verdict.reason, outage.began, details, report.at, links, severity, is_first=is_first
    )


def was_told(verdict: VerdictRow, since: datetime) -> bool:
    """Whether people were told anything of the job since then."""
    return verdict.last_notified_at is not None and verdict.last_notified_at >= since


def _is_untold_warning(verdict: VerdictRow, job: JobReport) -> bool:
    """Whether the job is warned of, and nobody was told, as it was silenced."""
    return (
        verdict.status == Verdict.HEALTHY
        and verdict.reason in TOLD_WARNINGS
        and verdict.reason in job.judgement.warnings
        and not was_told(verdict, verdict.status_since)
    )
