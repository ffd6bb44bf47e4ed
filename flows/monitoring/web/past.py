"""What the status page shows of a job's past: its last runs, its uptimes and its gaps."""

from collections.abc import Sequence
from datetime import datetime
from math import floor, sqrt
from typing import Any

from flows.logs import redact
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.history import RUNS_SHOWN, WINDOWS, Downtime, JobHistory, Uptime
from flows.monitoring.verdicts.wording import clock, duration, explain_run
from flows.monitoring.vocabulary import Status

LONGEST_TIP = 200
DOWNTIMES_SHOWN = 10

_STATUSES_SHOWN = (
    Status.SUCCESS,
    Status.PARTIAL_FAILURE,
    Status.FAILURE,
    Status.RUNNING,
    Status.SKIPPED,
    Status.CANCELLED,
    Status.MISSED,
)
RUN_WORDS: dict[str, str] = {status: status.replace("_", " ") for status in _STATUSES_SHOWN}


def past_of(history: JobHistory, now: datetime, *, has_started: bool) -> dict[str, Any]:
    """Return what the page's template shows of `history`. A job that has not started has no uptimes."""
    longest = max((run.duration_seconds or 0.0 for run in history.runs), default=0.0)
    return {
        "runs": [_run(run, longest, now) for run in history.runs],
        "empty_slots": RUNS_SHOWN - len(history.runs),
        "runs_summary": _summary(history.runs),
        "oldest": clock(history.runs[0].started_at, now) if history.runs else "",
        "uptimes": _uptimes(history.uptimes) if has_started else [],
        "downtimes": [_downtime(each, now) for each in history.downtimes[::-1][:DOWNTIMES_SHOWN]],
        "downtimes_summary": _downtimes_summary(history.downtimes),
    }


def shortened(text: str, length: int) -> str:
    """Return text from outside without the secrets that this process knows, and not longer than that."""
    text = str(redact(text))
    return text if len(text) <= length else text[: length - 1] + "…"


def _run(run: LogRow, longest: float, now: datetime) -> dict[str, Any]:
    took = None if run.status in (Status.SKIPPED, Status.MISSED) else run.duration_seconds
    is_known = run.status in RUN_WORDS
    # By the root, so that one slow run does not flatten all others.
    height = 0 if not took or not longest else max(4, round(100 * sqrt(took / longest)))
    return {
        "kind": run.status if is_known else Status.CANCELLED,
        "status": RUN_WORDS.get(run.status, run.status),
        "when": clock(run.started_at, now),
        "took": "" if took is None else duration(took),
        "height": height,
        "what": shortened(explain_run(run), LONGEST_TIP),
    }


def _summary(runs: Sequence[LogRow]) -> str:
    counts = [(sum(run.status == status for run in runs), word) for status, word in RUN_WORDS.items()]
    which = "The only run" if len(runs) == 1 else f"The last {len(runs)} runs"
    return f"{which}: " + ", ".join(f"{count} {word}" for count, word in counts if count)


def _uptimes(uptimes: dict[str, Uptime]) -> list[dict[str, str]]:
    """One for each window that has begun to differ from the one before: a young job's are all the same."""
    shown: list[dict[str, str]] = []
    for name, uptime in uptimes.items():
        is_whole = uptime.window_seconds >= WINDOWS[name].total_seconds()
        # Rounded down: 100% is said of no less.
        percent = floor(uptime.ratio * 10_000) / 100
        shown.append(
            {
                "name": f"up in the last {name if is_whole else duration(uptime.window_seconds)}",
                "value": f"{percent:g}%",
                "kind": "good" if percent >= 99 else "dented" if percent >= 90 else "poor",
            }
        )
        if not is_whole:
            break
    return shown


def _downtime(downtime: Downtime, now: datetime) -> str:
    end = "now" if downtime.ongoing else clock(downtime.end, now)
    return f"{clock(downtime.start, now)} to {end}: {duration(downtime.seconds)}"


def _downtimes_summary(downtimes: Sequence[Downtime]) -> str:
    total = duration(sum(each.seconds for each in downtimes))
    count = "1 gap" if len(downtimes) == 1 else f"{len(downtimes)} gaps"
    shown = "" if len(downtimes) <= DOWNTIMES_SHOWN else f", the last {DOWNTIMES_SHOWN} of them"
    return f"{count} in 30 days, {total} in all{shown}"
