"""The status page: what to show of a report, rendered with everything inline, so that it needs nothing but itself."""

import base64
import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import floor
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from flows.monitoring.alarms.audience import Audience
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.notices import error_text
from flows.monitoring.alarms.refusals import explain_refusals
from flows.monitoring.alarms.silences import explain_silence
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.budgets import Budget
from flows.monitoring.verdicts.history import JobHistory
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.wording import (
    clock,
    duration,
    explain_all,
    explain_job,
    explain_warning,
    how_often,
)
from flows.monitoring.vocabulary import Reason, Status, Verdict
from flows.monitoring.web.documents import UNAVAILABLE
from flows.monitoring.web.folded import folded, split
from flows.monitoring.web.past import RUN_WORDS, past_of, shortened

REFRESH_SECONDS = 15
LONGEST_ERROR = 600
# Of the notes, budgets and measures that jobs report.
REMARKS_SHOWN = 20

NO_LINKS = Links()
_VERDICT_WORDS = {verdict: verdict.replace("_", " ").capitalize() for verdict in Verdict}
_COLOURS: dict[str, str] = {
    Verdict.HEALTHY: "#1a7f4b",
    Verdict.UNHEALTHY: "#c62f2f",
    Verdict.NOT_STARTED: "#2563b8",
}


@dataclass(frozen=True)
class Snapshot:
    """A report, the past of the jobs that have a card (see `split`) and who is told of them, read in one transaction;
    and where more is to be seen.
    """

    report: Report
    histories: dict[str, JobHistory]
    audience: Audience
    links: Links = NO_LINKS


def render_page(snapshot: Snapshot | None) -> str:
    """Render the page as HTML; None is for a database that cannot be read. What came from outside is escaped."""
    page = _unavailable() if snapshot is None else _page(snapshot)
    template = _environment().get_template("status.html")
    return template.render(
        page=page, style=_style(), script=_script(), refresh_seconds=REFRESH_SECONDS, legend=list(RUN_WORDS.items())
    )


@lru_cache(maxsize=1)
def content_security_policy() -> str:
    """Say what the page may do: show itself, run its own script, and fetch itself again."""
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__name__.rpartition(".")[0]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


@lru_cache(maxsize=1)
def _style() -> str:
    return _source("status.css")


@lru_cache(maxsize=1)
def _script() -> str:
    return _source("status.js")


def _source(name: str) -> str:
    """A file of ours, as it is."""
    environment = _environment()
    assert environment.loader is not None  # noqa: S101  # set above
    return environment.loader.get_source(environment, name)[0]


def _page(snapshot: Snapshot) -> dict[str, Any]:
    report = snapshot.report
    is_calm = report.overall.verdict == Verdict.HEALTHY
    kind = Verdict.NOT_STARTED if is_calm and _is_waiting(report) else report.overall.verdict
    cards, others = split(report, snapshot.audience)
    return {
        "kind": kind,
        "title": _title(report),
        "icon": _icon(kind),
        "explanation": explain_all(report),
        "refusals": explain_refusals(snapshot.audience.refusals, report.at),
        "as_of": report.at,
        "as_of_text": clock(report.at, report.at, with_seconds=True),
        "timezone": str(report.at.tzinfo),
        "jobs": [_job(job, snapshot.histories[job.expected.name], snapshot, report.at) for job in cards],
        "folded": folded(others, report, snapshot.audience),
        "data_notes": report.data_notes[:REMARKS_SHOWN],
        "budgets": [_budget(budget) for budget in report.budgets[:REMARKS_SHOWN]],
        "measures": [measure for job in report.by_concern() for measure in job.measures][:REMARKS_SHOWN],
    }


def _unavailable() -> dict[str, Any]:
    return {
        "kind": Verdict.UNHEALTHY,
        "title": "No answer from the database",
        "icon": _icon(Verdict.UNHEALTHY),
        "explanation": UNAVAILABLE,
        "refusals": "",
        "as_of": None,
        "jobs": [],
        "folded": [],
        "data_notes": [],
        "budgets": [],
        "measures": [],
    }


def _title(report: Report) -> str:
    if not report.jobs:
        return "Nothing is expected to run"
    if report.overall.verdict == Verdict.HEALTHY:
        return "Waiting for first runs" if _is_waiting(report) else "All is well"
    if any(job.judgement.verdict == Verdict.UNHEALTHY for job in report.jobs.values()):
        return "Something is wrong"
    return "Nobody is watching the jobs" if report.overall.stale else "Waiting for first runs"


def _is_waiting(report: Report) -> bool:
    """Whether nothing is wrong, and nothing has run yet either."""
    verdicts = {job.judgement.verdict for job in report.jobs.values()}
    return Verdict.NOT_STARTED in verdicts and Verdict.HEALTHY not in verdicts


def _icon(kind: str) -> str:
    return quote(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' "
        f"fill='{_COLOURS[kind]}'/></svg>"
    )


def _job(job: JobReport, history: JobHistory, snapshot: Snapshot, now: datetime) -> dict[str, Any]:
    silence = snapshot.audience.silence_of(job.expected.name)
    return {
        "name": job.expected.name,
        "kind": job.judgement.verdict,
        "status": _VERDICT_WORDS[job.judgement.verdict],
        "explanation": explain_job(job, now),
        "look": _look(job, snapshot.links),
        "warnings": [explain_warning(warning, job) for warning in job.judgement.warnings],
        "silence": "" if silence is None else explain_silence(silence, now),
        "error": _error(job, snapshot.links, now),
        "schedule": how_often(job.expected),
        "facts": _facts(job, history, now),
        **past_of(history, now, has_started=job.judgement.verdict != Verdict.NOT_STARTED),
    }


def _look(job: JobReport, links: Links) -> dict[str, str | None] | None:
    """Where the cause is shown: the run that does not end, or the work pool that nobody polls."""
    if job.judgement.reason == Reason.STUCK:
        return {"text": "The run in Prefect", "link": links.run(str(job.running_id))}
    if (pool := job.facts.absent_work_pool) is not None:
        return {"text": "The work pool in Prefect", "link": links.work_pool(pool)}
    return None


def _error(job: JobReport, links: Links, now: datetime) -> dict[str, str | None] | None:
    failure = job.last_failure
    if failure is None or not failure.error_message:
        return None
    return {
        "title": f"Last error, {clock(failure.completed_at, now)}:",
        "text": shortened(error_text(failure.error_message), LONGEST_ERROR),
        "link": links.run(str(failure.execution_id)),
    }


def _facts(job: JobReport, history: JobHistory, now: datetime) -> list[dict[str, str]]:
    facts = [
        _moment("last run", job.facts.last_run, now, "never"),
        _moment("last success", job.facts.last_success, now, "never"),
    ]
    if job.judgement.verdict != Verdict.PAUSED:
        facts.append(_next_run(job, now))
    return [*facts, *_durations(history.runs)]


def _fact(name: str, value: str, detail: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "detail": detail}


def _moment(name: str, moment: datetime | None, now: datetime, otherwise: str) -> dict[str, str]:
    if moment is None:
        return _fact(name, otherwise)
    return _fact(name, f"{duration(max(0.0, (now - moment).total_seconds()))} ago", clock(moment, now))


def _next_run(job: JobReport, now: datetime) -> dict[str, str]:
    tick = job.next_tick
    if tick is None:
        return _fact("next run", "none" if job.expected.longest_interval_seconds is None else "not known")
    ahead = (tick - now).total_seconds()
    return _fact("next run", f"in {duration(ahead)}" if ahead > 0 else f"due for {duration(-ahead)}", clock(tick, now))


def _durations(runs: Sequence[LogRow]) -> list[dict[str, str]]:
    took = [
        run.duration_seconds
        for run in runs
        if run.duration_seconds is not None and run.status in (Status.SUCCESS, Status.PARTIAL_FAILURE, Status.FAILURE)
    ]
    if not took:
        return []
    return [_fact("takes", duration(statistics.median(took)), f"at most {duration(max(took))}")]


def _budget(budget: Budget) -> dict[str, Any]:
    percent = min(100, floor(budget.ratio * 100))
    began = f"{budget.since.day} {budget.since:%B %Y}"
    return {
        "name": budget.name,
        "text": f"{budget.used:,} of {budget.limit:,}",
        "percent": percent,
        "kind": "poor" if percent == 100 else "dented" if budget.is_tight else "good",
        "detail": f"{percent}% used in the period that began on {began}. {budget.forecast}",
    }
