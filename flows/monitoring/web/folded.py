"""How the status page stays small with many jobs: a card for the first ones, and a line for each of the others."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from flows.monitoring.alarms.audience import Audience
from flows.monitoring.alarms.silences import explain_silence, names_silenced
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.wording import clock, duration, explain_job
from flows.monitoring.vocabulary import Verdict

# So many jobs have a card each, as long as there are no more; of more than that, fewer do.
ALL_CARDS, FIRST_CARDS = 12, 6
# The lines of the others have so many characters in all: those of the worst jobs come first.
LINES_CHARACTERS = 50_000
LONGEST_LINE = 160
_WORDS = {
    Verdict.UNHEALTHY: ("more job is unhealthy", "more jobs are unhealthy"),
    Verdict.NOT_STARTED: ("job waits for its first run", "jobs wait for their first run"),
    Verdict.PAUSED: ("job is paused", "jobs are paused"),
    Verdict.HEALTHY: ("more job is healthy", "more jobs are healthy"),
}


def split(report: Report, audience: Audience) -> tuple[Sequence[JobReport], Sequence[JobReport]]:
    """Split the jobs into those with a card and the others; what is wrong comes first, of that what nobody silenced."""
    silenced = names_silenced(audience.silences)

    def order(job: JobReport) -> tuple[bool, bool]:
        return not _is_unhealthy(job), _is_unhealthy(job) and job.expected.name in silenced

    jobs = sorted(report.by_concern(), key=order)
    count = len(jobs) if len(jobs) <= ALL_CARDS else FIRST_CARDS
    return jobs[:count], jobs[count:]


def folded(jobs: Sequence[JobReport], report: Report, audience: Audience) -> list[dict[str, Any]]:
    """Fold the jobs without a card into lines to unfold, by verdict; those for which there is no room are counted."""
    order = list(_WORDS)
    groups: list[dict[str, Any]] = []
    room = LINES_CHARACTERS
    by_verdict = sorted(jobs, key=lambda job: order.index(job.judgement.verdict))
    for verdict, group in groupby(by_verdict, key=lambda job: job.judgement.verdict):
        same = list(group)
        lines: list[dict[str, str]] = []
        for job in same:
            line = _line(job, report, audience)
            room -= len(line["name"]) + len(line["text"])
            if room < 0:
                break
            lines.append(line)
        words = f"{len(same):,} {_WORDS[verdict][len(same) > 1]}"
        groups.append({"kind": verdict, "words": words, "lines": lines, "left_out": len(same) - len(lines)})
    return groups


def _is_unhealthy(job: JobReport) -> bool:
    return job.judgement.verdict == Verdict.UNHEALTHY


def _line(job: JobReport, report: Report, audience: Audience) -> dict[str, str]:
    text = explain_job(job, report.at) if _is_unhealthy(job) else _last_run(job, report)
    if (silence := audience.silence_of(job.expected.name)) is not None:
        text = f"{text} {explain_silence(silence, report.at)}".strip()
    return {"name": job.expected.name, "text": text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"}


def _last_run(job: JobReport, report: Report) -> str:
    if job.facts.last_run is None:
        return "" if job.next_tick is None else f"first run {clock(job.next_tick, report.at)}"
    return f"ran {duration(max(0.0, (report.at - job.facts.last_run).total_seconds()))} ago"
