"""What there is to say about each job, and what several jobs have in common: the texts that people get. Pure.

They are read by somebody who is woken by them: what is wrong, since when, what was expected, the last error, what to
do, and where to look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from flows.monitoring.alarms.messages import Kind, Notice, Paragraph, cut, listed
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.verdicts.wording import clock, duration
from flows.monitoring.vocabulary import Reason, Verdict

LONGEST_ERROR = 500
# Prefect puts it before the text of each exception.
_PREFIX_OF_ERRORS = "Flow run encountered an exception:"
# Of jobs of these severities nobody wants to be woken.
_MILD = frozenset({"low", "warning", "info"})

IS = {
    Reason.OVERDUE: "is overdue",
    Reason.NOT_STARTED: "has never run",
    Reason.FAILING: "is failing",
    Reason.STUCK: "is stuck",
    Reason.NO_WORKER: "has no worker",
    Reason.NO_SUCCESS: "has not succeeded",
    Reason.NO_SCHEDULE: "has no schedule",
}
_WAS = {
    Reason.OVERDUE: "it was overdue",
    Reason.NOT_STARTED: "it had never run",
    Reason.FAILING: "it was failing",
    Reason.STUCK: "it was stuck",
    Reason.NO_WORKER: "it had no worker",
    Reason.NO_SUCCESS: "it had not succeeded",
    Reason.NO_SCHEDULE: "it had no schedule",
}
_TO_DO = {
    Reason.OVERDUE: "see in its deployment why no run starts: late, skipped, cancelled or not planned; the worker's "
    "log says what it took.",
    Reason.NOT_STARTED: "see that its schedule is active and that a worker polls its pool; to start it now: "
    "prefect deployment run '{deployment}'",
    Reason.FAILING: "open the failed run, whose log says where it broke; once that is mended, run it now: "
    "prefect deployment run '{deployment}'",
    Reason.NO_SUCCESS: "look at its last runs: they fail, fail in part, or do not come; run it now: "
    "prefect deployment run '{deployment}'",
    Reason.NO_SCHEDULE: "deploy it with its schedule again; if it is meant to have none, pause the deployment.",
    Reason.STUCK: "open the run that does not end; cancel it there, and the next tick starts another.",
}


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where to look, on Prefect's pages; `ui_url` is empty where that is not known."""

    ui_url: str = ""
    deployments: Mapping[str, str]
    """The identifier of each job's deployment, by the job's name."""

    def job(self, job_name: str) -> str | None:
        """The page of the job's deployment."""
        identifier = self.deployments.get(job_name)
        return f"{self.ui_url}/deployments/deployment/{identifier}" if self.ui_url and identifier else None

    def run(self, run_id: str) -> str | None:
        """The page of a run."""
        return f"{self.ui_url}/runs/flow-run/{run_id}" if self.ui_url and run_id else None

    def work_pool(self, name: str) -> str | None:
        """The page of a work pool."""
        return f"{self.ui_url}/work-pools/work-pool/{name}" if self.ui_url else None


def notice_of(
    rows: Sequence[TransitionRow],
    now: datetime,
    links: Links,
    severity: str | None = None,
    *,
    looks_healthy: bool = False,
) -> Notice | None:
    """What one job's untold changes, oldest first, come to; None if there is nothing to tell.

    An outage that nobody was told of and that is over: one notice tells both. One of a job that was paused: none.
    `looks_healthy`: the last judgement found it so, which is not confirmed yet.
    """
    name, last = rows[0].job_name, rows[-1]
    alarm = next(
        (row for row in rows if row.to_status == Verdict.UNHEALTHY and row.from_status != Verdict.UNHEALTHY), None
    )
    if last.to_status == Verdict.UNHEALTHY and alarm is not None:
        kind = Kind.WARNING if (severity or "").lower() in _MILD else Kind.ALARM
        return _bad_news(kind, name, last.reason, alarm.at, last.details, now, links, looks_healthy=looks_healthy)
    if last.to_status == Verdict.HEALTHY and last.from_status == Verdict.UNHEALTHY:
        return _recovery(name, last, now, links)
    return None


def reminder_of(
    job_name: str,
    reason: str | None,
    began: datetime,
    details: Mapping[str, Any],
    now: datetime,
    links: Links,
    severity: str | None = None,
    *,
    is_first: bool = False,
) -> Notice:
    """That a job is still unhealthy; `is_first` if nobody was told of this outage."""
    kind = Kind.WARNING if (severity or "").lower() in _MILD else Kind.ALARM if is_first else Kind.REMINDER
    return _bad_news(kind, job_name, reason, began, details, now, links)


def paragraphs_of(notices: Sequence[Notice], now: datetime, links: Links) -> list[Paragraph]:
    """The notices as paragraphs, the worst first; one for all jobs that stand still for want of the same worker."""
    paragraphs: list[Paragraph] = []
    order = list(Kind)
    ordered = sorted(notices, key=lambda each: (order.index(each.kind), each.pool or "", each.since, each.job_name))
    for (kind, pool), group in groupby(ordered, key=lambda each: (each.kind, each.pool)):
        same = list(group)
        if pool is None or len(same) == 1:
            paragraphs += [
                Paragraph(kind=each.kind, headline=each.headline, text=each.text, job_names=[each.job_name])
                for each in same
            ]
        else:
            paragraphs.append(_paragraph_of_pool(kind, pool, same, now, links))
    return paragraphs


def _paragraph_of_pool(kind: Kind, pool: str, notices: Sequence[Notice], now: datetime, links: Links) -> Paragraph:
    names = [notice.job_name for notice in notices]
    since = min(notice.since for notice in notices)
    if kind is Kind.RECOVERY:
        headline = f"pool {pool} has a worker again, {len(names)} jobs recovered"
        text = f"A worker polls the pool {pool} again, and {len(names)} jobs have recovered: {listed(names)}.\n"
        text += f"Since {clock(since, now)}, for {duration((now - since).total_seconds())}."
    else:
        still = "still " if kind is Kind.REMINDER else ""
        headline = f"{still}no worker on pool {pool} since {clock(since, now)}, {len(names)} jobs stand still"
        text = "\n".join(
            [
                f"No worker polls the pool {pool}: {len(names)} jobs stand still.",
                f"Since: {clock(since, now)}, for {duration((now - since).total_seconds())}.",
                f"Jobs: {listed(names)}.",
                *_what_to_do_about(pool, links),
            ]
        )
    return Paragraph(kind=kind, headline=headline, text=text, job_names=names)


def _bad_news(
    kind: Kind,
    name: str,
    reason: str | None,
    began: datetime,
    details: Mapping[str, Any],
    now: datetime,
    links: Links,
    *,
    looks_healthy: bool = False,
) -> Notice:
    pool = _text(details.get("work_pool_without_worker")) or None
    known = Reason(reason) if reason in set(Reason) else None
    what = IS.get(known, "is unhealthy") if known else "is unhealthy"
    run = links.run(_text(details.get("failed_run")))
    lasting = duration((now - began).total_seconds())
    lines = [
        f"{name} {'still ' if kind is Kind.REMINDER and known is None else ''}{what}.",
        f"Since: {clock(began, now)}, for {lasting}.",
    ]
    if explanation := _text(details.get("explanation")):
        lines.append(_without_beginning(explanation))
    if looks_healthy:
        lines.append("The last look found it healthy; its recovery is told once that has lasted.")
    if error := error_text(_text(details.get("last_error"))):
        lines.append(f"Last error: {cut(error, LONGEST_ERROR)}")
    if pool:
        lines += _what_to_do_about(pool, links)
    elif known is not None and known in _TO_DO:
        deployment = name if "/" in name else f"{name}/scheduled"
        lines.append(f"To do: {_TO_DO[known].format(deployment=deployment)}")
    link = (
        links.work_pool(pool) if pool else run if known in (Reason.FAILING, Reason.NO_SUCCESS) else None
    ) or links.job(name)
    if not pool and link:
        lines.append(f"Look: {link}")
    if kind is Kind.REMINDER:
        headline = f"{name} still {what} after {lasting}"
    elif pool:
        headline = f"no worker on pool {pool} since {clock(began, now)}, {name} stands still"
    else:
        been = what.replace("is ", "has been ", 1).replace("has never run", "has never run, due")
        headline = f"{name} {been} since {clock(began, now)}"
    return Notice(
        job_name=name,
        kind=kind,
        headline=headline,
        text="\n".join(lines),
        incident=incident_key(name, began),
        link=link,
        pool=pool,
        since=began,
    )


def _recovery(name: str, last: TransitionRow, now: datetime, links: Links) -> Notice:
    began = datetime.fromisoformat(last.details["outage_began"])
    lasted = duration((last.at - began).total_seconds())
    reason = last.details.get("outage_reason")
    if reason == Reason.STALE:
        headline = f"{name} was silent for {lasted}"
        text = (
            f"{name} was silent for {lasted}, from {clock(began, now)} to {clock(last.at, now)}: nobody watched the "
            "jobs, and it is working again.\nTo do: see what happened meanwhile: "
            f"vibecheck verify --since {began.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        )
    else:
        was = _WAS.get(Reason(reason), "it was unhealthy") if reason in set(Reason) else "it was unhealthy"
        headline = f"{name} recovered at {clock(last.at, now)} after {lasted}"
        text = f"{name} recovered at {clock(last.at, now)}, after {lasted}: {was} since {clock(began, now)}."
    if remark := _text(last.details.get("remark")):
        headline += ", but can do nothing"
        text += f"\n{remark}"
    pool = _text(last.details.get("work_pool_without_worker")) or None
    return Notice(
        job_name=name,
        kind=Kind.RECOVERY,
        headline=headline,
        text=text,
        incident=None if reason == Reason.STALE else incident_key(name, began),
        link=links.job(name),
        pool=pool,
        since=began,
    )


def incident_key(job_name: str, began: datetime) -> str:
    """What identifies an outage of a job, from its first alarm to its recovery."""
    return f"vibecheck:{job_name}:{began.isoformat()}"


def error_text(error: str) -> str:
    """An error's text without what Prefect puts before it."""
    return error.strip().removeprefix(_PREFIX_OF_ERRORS).strip()


def _without_beginning(explanation: str) -> str:
    """The explanation of a verdict without what a message has said: the verdict, and since when."""
    beginning, _, rest = explanation.partition(": ")
    is_said = " " not in beginning or " since " in beginning
    return rest[:1].upper() + rest[1:] if rest and is_said else explanation


def _what_to_do_about(pool: str, links: Links) -> list[str]:
    look = links.work_pool(pool)
    return [f"To do: start a worker: vibecheck worker --pool {pool}", *([f"Look: {look}"] if look else [])]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
