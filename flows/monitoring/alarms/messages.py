"""What people are told: one message for everything that there is to say at a time. Pure.

Subjects begin with the same word, whoever sends them, and name the job; the body says since when, what was expected,
the last error and where to look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.stored import TransitionRow, VerdictRow
from flows.monitoring.verdicts.wording import clock, duration, explain_all
from flows.monitoring.vocabulary import Reason, Verdict

LONGEST_ERROR = 500

WORDS: dict[str, str] = {
    Reason.OVERDUE: "is overdue",
    Reason.NOT_STARTED: "has never run",
    Reason.FAILING: "is failing",
    Reason.STUCK: "is stuck",
    Reason.NO_WORKER: "has no worker",
    Reason.NO_SUCCESS: "has not succeeded",
    Reason.STALE: "was silent",
}


@dataclass(frozen=True)
class Notice:
    """What there is to say about one job: a headline, and what is known."""

    job_name: str
    headline: str
    text: str


@dataclass(frozen=True)
class Message:
    """What is delivered."""

    subject: str
    body: str


def notice_of(rows: Sequence[TransitionRow], now: datetime) -> Notice | None:
    """What one job's untold changes, oldest first, come to; None if there is nothing to tell.

    An outage that nobody was told of and that is over: one notice tells both. One of a job that was paused: none.
    """
    name, last = rows[0].job_name, rows[-1]
    alarm = next(
        (row for row in rows if row.to_status == Verdict.UNHEALTHY and row.from_status != Verdict.UNHEALTHY), None
    )
    if last.to_status == Verdict.UNHEALTHY and alarm is not None:
        what = WORDS.get(alarm.reason or "", "is unhealthy")
        return Notice(name, f"{name} {what}", _alarm_text(name, what, alarm, now))
    if last.to_status == Verdict.HEALTHY and last.from_status == Verdict.UNHEALTHY:
        began = datetime.fromisoformat(last.details["outage_began"])
        lasted = duration((last.at - began).total_seconds())
        what = WORDS.get(last.details["outage_reason"] or "", "is unhealthy")
        if last.details["outage_reason"] == Reason.STALE:
            text = (
                f"{name} was silent for {lasted}, from {clock(began, now)} to {clock(last.at, now)}: nobody watched "
                "the jobs. It is working again. What happened meanwhile: "
                f"vibecheck verify --since {began:%Y-%m-%dT%H:%MZ}"
            )
            return Notice(name, f"{name} was silent for {lasted}", text)
        text = (
            f"{name} recovered at {clock(last.at, now)}, after {lasted} (since {clock(began, now)}). Before, it "
            f"{what.replace('is ', 'was ').replace('has ', 'had ')}."
        )
        return Notice(name, f"{name} has recovered after {lasted}", text)
    return None


def reminder_of(verdict: VerdictRow, began: datetime, explanation: str, now: datetime) -> Notice:
    """That a job is still unhealthy."""
    lasting = duration((now - began).total_seconds())
    what = WORDS.get(verdict.reason or "", "is unhealthy")
    name = verdict.job_name
    text = f"{name} has been unhealthy for {lasting}, since {clock(began, now)}: it {what}.\n{explanation}"
    return Notice(name, f"{name}: after {lasting}, it still {what}", text)


def message_of(notices: Sequence[Notice], report: Report, links: Mapping[str, str]) -> Message:
    """One message for all notices, with `links` to look at each job, and the state of the whole."""
    headlines = [notice.headline for notice in notices]
    subject = headlines[0] if len(headlines) == 1 else f"{len(headlines)} jobs: {'; '.join(headlines)}"
    parts = [
        notice.text + (f"\nLook: {links[notice.job_name]}" if notice.job_name in links else "") for notice in notices
    ]
    parts.append(f"{explain_all(report)}\nMore: `vibecheck status`, `vibecheck verify`.")
    return Message(f"VibeCheck: {subject}", "\n\n".join(parts))


def _alarm_text(name: str, what: str, alarm: TransitionRow, now: datetime) -> str:
    lines = [f"{name} {what} (unhealthy since {clock(alarm.at, now)})."]
    if explanation := _text(alarm.details.get("explanation")):
        lines.append(explanation)
    if work_pool := _text(alarm.details.get("work_pool_without_worker")):
        lines.append(f"Start a worker of the work pool {work_pool}.")
    if error := _text(alarm.details.get("last_error")):
        lines.append(f"Last error: {error if len(error) <= LONGEST_ERROR else error[:LONGEST_ERROR] + ' …'}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
