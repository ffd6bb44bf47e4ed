"""How an outage ended: the texts that people get about those that they know of. Pure."""

from datetime import UTC, datetime

from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Notice, incident_key
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.verdicts.wording import clock, duration
from flows.monitoring.vocabulary import MONITORED_TAG, STATUS_FLOW, Reason, Verdict, WarningCode

_HAD_BEEN: dict[str | None, str] = {
    Reason.OVERDUE: "it had been overdue",
    Reason.NOT_STARTED: "its first run had been due",
    Reason.FAILING: "it had been failing",
    Reason.STUCK: "it had been stuck",
    Reason.NO_WORKER: "it had been without a worker",
    Reason.NO_SUCCESS: "it had been without a success in time",
    Reason.NO_SCHEDULE: "it had been without a schedule",
    Reason.BAD_SCHEDULE: "it had been without a schedule that can be computed",
    WarningCode.FEATURE_OFF: "it had run without a result",
    WarningCode.LOST_SCHEDULE: "it had been without one of its schedules",
}


def end_of_outage(end: TransitionRow, now: datetime, links: Links) -> Notice:
    """Tell that an outage of which people know is over: the job recovered, or nothing is expected of it any more."""
    name, reason = end.job_name, end.details.get("outage_reason")
    began = datetime.fromisoformat(end.details["outage_began"])
    warning = reason if reason in set(WarningCode) else None
    lasted = duration((end.at - began).total_seconds())
    at, since = clock(end.at, now), clock(began, now)
    had_been = f"{_HAD_BEEN.get(reason, 'it had been unhealthy')} since {since}"
    pool: str | None = None
    if end.details.get("retired"):
        headline = f"{name} has not been watched since {at}, after {lasted} of trouble"
        text = (
            f"{name} has not been watched since {at}: its deployment was deleted, or lost the tag `{MONITORED_TAG}`.\n"
            f"Before that, {had_been}. Whether that was mended is not known."
        )
    elif end.to_status == Verdict.PAUSED:
        headline = f"{name} was paused at {at} after {lasted}"
        text = (
            f"{name} was paused at {at}, after {lasted}: {had_been}.\n"
            "Nothing is expected of it until somebody resumes it; whether it was mended is not known."
        )
    elif end.to_status == Verdict.NOT_STARTED:
        headline = f"{name} is no longer late, its schedule has changed"
        text = (
            f"{name} has another schedule, by which it is not late: {had_been}. It still has to run for the first time."
        )
    elif reason == Reason.STALE:
        headline = f"{name} was silent for {lasted}"
        text = (
            f"{name} was silent for {lasted}, from {since} to {at}: nobody watched the jobs, and it is working again.\n"
            f"To do: see what happened meanwhile: vibecheck verify --since {began.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        )
    elif reason == WarningCode.LOST_SCHEDULE:
        headline = f"{name} has its schedules as they are meant"
        text = f"{name} lost a schedule at {since}: that is over. It was changed, or a week has passed."
    else:
        headline = f"{name} recovered at {at} after {lasted}"
        text = f"{name} recovered at {at}, after {lasted}: {had_been}."
        pool = _text(end.details.get("work_pool_without_worker")) or None
    if remark := _text(end.details.get("remark")):
        headline += (
            ", but has lost a schedule" if end.reason == WarningCode.LOST_SCHEDULE else ", but nothing comes of it"
        )
        text += f"\n{remark}"
    return Notice(
        job_name=name,
        kind=Kind.RECOVERY,
        headline=headline,
        text=text,
        incident=None if reason == Reason.STALE else incident_key(name, began, warning),
        link=links.job(name),
        pool=pool,
        since=began,
    )


def server_incident_over(since: datetime) -> Notice:
    """Tell that the incident is over that the Prefect server opened as alarms could not be delivered, `since` then."""
    return Notice(
        job_name=STATUS_FLOW,
        kind=Kind.RECOVERY,
        headline="alarms are delivered again",
        text="Alarms are delivered again, and the jobs were watched meanwhile.",
        incident=None,
        since=since,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
