"""What there is to say about each job, and what several jobs have in common: the texts that people get. Pure.

They are read by somebody who is woken by them: what is wrong, since when, what was expected, the last error, what to
do, and where to look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from flows.monitoring.alarms.ends import end_of_outage
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Notice, Paragraph, cut, incident_key
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.verdicts.wording import clock, duration, listed, start_worker
from flows.monitoring.vocabulary import TOLD_WARNINGS, Reason, Verdict, WarningCode

LONGEST_ERROR = 500
# Prefect puts it before the text of each exception.
_PREFIX_OF_ERRORS = "Flow run encountered an exception:"
# Of jobs of this severity nobody wants to be woken.
_MILD = "low"

_IS = {
    Reason.OVERDUE: "is overdue",
    Reason.NOT_STARTED: "has never run",
    Reason.FAILING: "is failing",
    Reason.STUCK: "is stuck",
    Reason.NO_WORKER: "has no worker",
    Reason.NO_SUCCESS: "has had no success in time",
    Reason.NO_SCHEDULE: "has no schedule",
    Reason.BAD_SCHEDULE: "has a schedule that cannot be computed",
}
# How a headline says the same, before the time at which it began.
SINCE = {
    Reason.OVERDUE: "has been overdue since",
    Reason.NOT_STARTED: "has never run, and was due by",
    Reason.FAILING: "has been failing since",
    Reason.STUCK: "has been stuck since",
    Reason.NO_WORKER: "has had no worker since",
    Reason.NO_SUCCESS: "has had no success in time since",
    Reason.NO_SCHEDULE: "has had no schedule since",
    Reason.BAD_SCHEDULE: "has had a schedule that cannot be computed since",
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
    Reason.BAD_SCHEDULE: "deploy it with a schedule that Prefect's scheduler can compute: its log says what is wrong. "
    "The UNTIL of a recurrence rule, for one, goes without Z.",
    Reason.STUCK: "open the run that does not end; cancel it there, and the next tick starts another.",
}
# Which of the runs that the circumstances name shows what is wrong.
_RUNS = {Reason.FAILING: "failed_run", Reason.NO_SUCCESS: "failed_run", Reason.STUCK: "open_run"}


def notice_of(
    rows: Sequence[TransitionRow],
    now: datetime,
    links: Links,
    severity: str | None = None,
    *,
    looks_healthy: bool = False,
) -> Notice | None:
    """Say what one job's untold changes, oldest first, come to; None if there is nothing to tell.

    An outage that nobody was told of and that is over: one notice tells both. One that ended as the job was paused or
    removed: none, unless it was told of before. What is warned of since such an end is told with it. `looks_healthy`:
    the last judgement found it so, which is not confirmed yet.
    """
    name, last = rows[0].job_name, rows[-1]
    turns = [row for row in rows if (row.from_status == Verdict.UNHEALTHY) != (row.to_status == Verdict.UNHEALTHY)]
    # The end of an outage that people were told of. What began later, they were not.
    earlier = turns[0] if turns and turns[0].from_status == Verdict.UNHEALTHY else None
    if last.to_status == Verdict.UNHEALTHY:
        if not turns:
            return None
        kind = Kind.WARNING if severity == _MILD else Kind.ALARM
        began = turns[-1].at
        return _bad_news(kind, name, last.reason, began, last.details, now, links, looks_healthy=looks_healthy)
    end = turns[-1] if turns and turns[-1].to_status == Verdict.HEALTHY else earlier
    if end is not None:
        if end is not last and last.reason in TOLD_WARNINGS:
            end = replace(end, reason=last.reason, details={**end.details, "remark": last.details.get("remark")})
        return end_of_outage(end, now, links)
    if last.reason in TOLD_WARNINGS:
        return warning_of(name, WarningCode(last.reason), last.at, _text(last.details.get("remark")), now, links)
    if last.details.get("outage_reason") in TOLD_WARNINGS:
        return end_of_outage(last, now, links)
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
    """Tell that a job is still unhealthy; `is_first` if nobody was told of this outage."""
    kind = Kind.WARNING if severity == _MILD else Kind.ALARM if is_first else Kind.REMINDER
    return _bad_news(kind, job_name, reason, began, details, now, links)


def paragraphs_of(notices: Sequence[Notice], now: datetime, links: Links) -> list[Paragraph]:
    """Turn the notices into paragraphs, worst first; one for all jobs that stand still for want of the same worker."""
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
    absent_since = min(notice.absent_since or notice.since for notice in notices)
    if kind is Kind.RECOVERY:
        headline = f"pool {pool} has a worker again, {len(names)} jobs recovered"
        text = f"A worker polls the pool {pool} again, and {len(names)} jobs have recovered: {listed(names)}.\n"
        text += f"They had stood still since {clock(since, now)}."
    else:
        still = "still " if kind is Kind.REMINDER else ""
        headline = f"{still}no worker on pool {pool} since {clock(absent_since, now)}, {len(names)} jobs stand still"
        text = "\n".join(
            [
                f"No worker polls the pool {pool}: {len(names)} jobs stand still.",
                f"Since: {clock(absent_since, now)}, for {duration((now - absent_since).total_seconds())}.",
                f"Jobs: {listed(names)}.",
                *_what_to_do_about(pool, links),
            ]
        )
    return Paragraph(kind=kind, headline=headline, text=text, job_names=names)


def warning_of(name: str, warning: WarningCode, began: datetime, remark: str, now: datetime, links: Links) -> Notice:
    """Tell what people are to be warned of; `remark` says it in a sentence."""
    link, at = links.job(name), clock(began, now)
    what, headline = "has lost a schedule", f"lost a schedule at {at}"
    if warning == WarningCode.FEATURE_OFF:
        what, headline = "runs, but nothing comes of it", f"has run without a result since {at}"
    lines = [
        f"{name} {what}.",
        f"Since: {at}, for {duration((now - began).total_seconds())}.",
        remark,
        *([f"Look: {link}"] if link else []),
    ]
    return Notice(
        job_name=name,
        kind=Kind.WARNING,
        headline=f"{name} {headline}",
        text="\n".join(lines),
        incident=incident_key(name, began, warning),
        warning=warning,
        link=link,
        since=began,
    )


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
    stopped = _text(details.get("worker_absent_since"))
    absent_since = datetime.fromisoformat(stopped) if stopped else began
    known = Reason(reason) if reason in set(Reason) else None
    what = _IS.get(known, "is unhealthy") if known else "is unhealthy"
    lasting = duration((now - began).total_seconds())
    lines = [
        f"{name} {_still(what) if kind is Kind.REMINDER else what}.",
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
    run = _text(details.get(_RUNS.get(known, ""))) if known else ""
    link = (links.work_pool(pool) if pool else links.run(run)) or links.job(name)
    if not pool and link:
        lines.append(f"Look: {link}")
    if kind is Kind.REMINDER:
        headline = f"{name} {_still(what)} after {lasting}"
    elif pool:
        headline = f"no worker on pool {pool} since {clock(absent_since, now)}, {name} stands still"
    else:
        has_been = SINCE.get(known, "has been unhealthy since") if known else "has been unhealthy since"
        headline = f"{name} {has_been} {clock(began, now)}"
    return Notice(
        job_name=name,
        kind=kind,
        headline=headline,
        text="\n".join(lines),
        incident=incident_key(name, began),
        link=link,
        pool=pool,
        absent_since=absent_since if pool else None,
        since=began,
    )


def error_text(error: str) -> str:
    """Return an error's text without what Prefect puts before it."""
    return error.strip().removeprefix(_PREFIX_OF_ERRORS).strip()


def _still(what: str) -> str:
    return what.replace("is ", "is still ", 1) if what.startswith("is ") else f"still {what}"


def _without_beginning(explanation: str) -> str:
    """The explanation of a verdict without what a message has said: the verdict, and since when."""
    explanation = explanation.removeprefix("Has never run, though ")
    explanation = explanation[:1].upper() + explanation[1:]
    beginning, _, rest = explanation.partition(": ")
    is_said = " " not in beginning or " since " in beginning
    return rest[:1].upper() + rest[1:] if rest and is_said else explanation


def _what_to_do_about(pool: str, links: Links) -> list[str]:
    look = links.work_pool(pool)
    return [f"To do: start a worker: {start_worker(pool)}", *([f"Look: {look}"] if look else [])]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
