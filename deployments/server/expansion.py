"""What automations.yaml asks for: one automation for each job, heartbeat or installation."""

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any, cast
from uuid import UUID

import structlog
import yaml
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_UI_URL

from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.schedules import InvalidSchedule, ScheduleSpec, longest_gap_seconds
from flows.monitoring.verdicts.overall import STALE_INTERVALS
from flows.monitoring.verdicts.rules import OVERDUE_INTERVALS, grace
from flows.monitoring.verdicts.wording import duration, start_worker
from flows.monitoring.vocabulary import MONITORED_TAG, OWNER, STATUS_FLOW, SUPERVISED_TAG

FILE = Path(__file__).parent / "automations.yaml"
MARK = "Made by `vibecheck apply`, which undoes edits, but leaves on and off to you."

# On top of what is expected of the job: what a run may start late, and take.
GRACE_SECONDS = 60.0
# A run is lost when it has missed this many heartbeats.
MISSED_HEARTBEATS = 3
# A proactive trigger cannot be shorter.
SHORTEST_SILENCE_SECONDS = 10.0
SEND = "send-notification"
FOREVER_SECONDS = 10 * 365 * 86_400

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Job:
    """A monitored job that has a schedule, and the longest time between its ticks."""

    name: str
    interval_seconds: float
    grace_seconds: float | None = None
    """How long after a tick a run may start; None where the rule of 2 intervals holds."""
    duration_seconds: float = 0.0
    """How long a run may take, where its tags say so."""


def scheduled_jobs(live: Iterable[LiveJob], now: datetime) -> list[Job]:
    """Return the jobs that have a schedule. A paused job is one of them: it may be resumed without an apply."""
    jobs: list[Job] = []
    for job in live:
        specs = [cast("ScheduleSpec", {**spec, "active": job.paused or spec["active"]}) for spec in job.schedule]
        try:
            interval = longest_gap_seconds(specs, now)
        except InvalidSchedule as error:
            logger.warning("schedule_not_understood", job_name=job.job_name, error=str(error))
            continue
        if interval is not None:
            after_tick = grace(job.expectations, interval).total_seconds() if job.is_judged_by_ticks else None
            jobs.append(Job(job.job_name, interval, after_tick, job.expectations.duration or 0.0))
    return jobs


def load(file: Path = FILE) -> Sequence[Mapping[str, Any]]:
    """Read the entries of the file, not yet expanded."""
    return yaml.safe_load(file.read_text())["automations"]


def expand(
    entries: Iterable[Mapping[str, Any]],
    jobs: Sequence[Job],
    live: Sequence[LiveJob],
    block_id: UUID | None,
    *,
    reminder_seconds: float,
    installation: str,
) -> list[AutomationCore]:
    """Make the automations for these jobs. Those that send a notification do so through the block, or are left out."""
    wanted: list[AutomationCore] = []
    common = _common_values(jobs, reminder_seconds, installation)
    for entry in entries:
        if block_id is None and any(action["type"] == SEND for action in entry["actions"]):
            continue
        actions = [
            {**action, "block_document_id": block_id} if action["type"] == SEND else action
            for action in entry["actions"]
        ]
        for values in _values_for_each(entry.get("for_each"), jobs, live):
            content = _fill({**entry, "trigger": None, "actions": None}, common | values)
            content["trigger"] = _fill(entry["trigger"], _as_patterns(common | values))
            content["actions"] = _fill(actions, _as_templates(common | values))
            content |= {"description": f"{content['description']} {MARK}", "owner_resource": OWNER, "tags": []}
            wanted.append(AutomationCore.model_validate(content))
    return wanted


def silence_seconds(job: Job, jobs: Iterable[Job]) -> float:
    """Return after how long a silence the server itself reports `job`.

    As long as the job may be silent by its own expectations, and at least as long as the status flow, so that this one,
    while it is alive, is always the first to report it.
    """
    if job.name == STATUS_FLOW:
        return max(STALE_INTERVALS * job.interval_seconds, SHORTEST_SILENCE_SECONDS)
    if job.grace_seconds is None:
        expected = OVERDUE_INTERVALS * job.interval_seconds
    else:
        expected = job.interval_seconds + job.grace_seconds + job.duration_seconds
    for other in jobs:
        if other.name == STATUS_FLOW:
            expected = max(expected, STALE_INTERVALS * other.interval_seconds)
    return expected + GRACE_SECONDS


def _common_values(jobs: Sequence[Job], reminder_seconds: float, installation: str) -> dict[str, Any]:
    # A timer fires again every second `within`; and the alarm comes before its reminder.
    reminder_within = max(
        [reminder_seconds / 2, *(2 * silence_seconds(job, jobs) for job in jobs if job.name == STATUS_FLOW)]
    )
    return {
        "installation": installation,
        "status_flow": STATUS_FLOW,
        "monitored_tag": MONITORED_TAG,
        "supervised_tag": SUPERVISED_TAG,
        "ui_url": (PREFECT_UI_URL.value() or "").rstrip("/"),
        "reminder_within": duration(reminder_within),
        "reminder_within_seconds": reminder_within,
        "reminder_period": duration(2 * reminder_within),
        "forever_seconds": FOREVER_SECONDS,
        "jobs_and_silences": "\n".join(
            f"{job.name}, every {duration(job.interval_seconds)}: within {duration(silence_seconds(job, jobs))}"
            for job in jobs
            if job.name != STATUS_FLOW
        ),
    }


def _values_for_each(what: str | None, jobs: Sequence[Job], live: Sequence[LiveJob]) -> Iterator[dict[str, Any]]:
    """The values of each automation that an entry stands for."""
    match what:
        case None:
            # One for the installation, as long as there is something to watch.
            if live:
                yield {}
        case "job" | "status_flow":
            for job in jobs:
                if (job.name == STATUS_FLOW) == (what == "status_flow"):
                    silence = silence_seconds(job, jobs)
                    pool = next((each.work_pool for each in live if each.job_name == job.name), None)
                    yield {
                        "job": job.name,
                        "interval": duration(job.interval_seconds),
                        "silence": duration(silence),
                        "silence_seconds": silence,
                        "to_do": f"start a worker: {start_worker(pool)}" if pool else "start what serves it",
                    }
        case "heartbeat":
            supervised = [job for job in live if job.is_supervised]
            for seconds in sorted({job.heartbeat_seconds for job in supervised}):
                own = sorted(
                    f"prefect.deployment.{job.deployment_id}" for job in supervised if job.heartbeat_seconds == seconds
                )
                yield {
                    "heartbeat": duration(seconds),
                    "heartbeat_silence": duration(MISSED_HEARTBEATS * seconds),
                    "heartbeat_silence_seconds": MISSED_HEARTBEATS * seconds,
                    "deployments": own,
                }
        case _:
            raise ValueError(f"automations.yaml: for_each must be job, status_flow or heartbeat, not {what!r}")


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with its `${…}` filled in; a text that is nothing else becomes the value itself."""
    match value:
        case str():
            whole = Template(value)
            names = whole.get_identifiers()
            if len(names) == 1 and value == f"${{{names[0]}}}":
                return values[names[0]]
            return whole.substitute(values)
        case list():
            return [_fill(item, values) for item in cast("list[Any]", value)]
        case dict():
            return {key: _fill(item, values) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value


def _as_patterns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as Prefect's triggers match nothing else: `*`, `?` and `[` in a name are characters, not wildcards."""
    return {name: glob.escape(value) if isinstance(value, str) else value for name, value in values.items()}


def _as_templates(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as Prefect's templates show them unchanged: a brace in a name begins no expression of theirs."""
    return {
        name: value.replace("{", "{{ '{' }}") if isinstance(value, str) else value for name, value in values.items()
    }
