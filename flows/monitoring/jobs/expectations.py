"""Which jobs are expected to run, and when: copied from the live deployments, so that it can be told with Prefect away.

The copy remembers the past as well: `schedule_history` says what was expected at any time since.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

import structlog
from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.database.types import canonical_json
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.jobs.registry import (
    ScheduleEntry,
    StoredJob,
    append_schedules,
    read_jobs,
    rename_job,
    retire_jobs,
    schedule_history,
    write_jobs,
)
from flows.monitoring.jobs.schedules import InvalidSchedule, longest_gap_seconds
from flows.monitoring.jobs.ticks import PLANNING_TIME, first_ticks
from flows.monitoring.log.rows import LogRow, latest_run_of_each_job
from flows.monitoring.prefect_runs import server_now

# The scheduler looks at changed deployments every 5 seconds, at all of them every 60; a deployment takes away its plan.
PLANNED_WITHIN = timedelta(seconds=90)
# New and changed schedules are read for so long at a time; the rest is left to the next status flow.
COMPUTING_SECONDS = 10.0
_TICK_OF_A_CLOCK = timedelta(microseconds=1)

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Synced:
    """The jobs that are live, and the names of those of which something has changed."""

    jobs: tuple[LiveJob, ...]
    appeared: tuple[str, ...]
    rescheduled: tuple[str, ...]
    retired: tuple[str, ...]


async def sync_expectations(client: PrefectClient, engine: AsyncEngine, now: datetime | None = None) -> Synced:
    """Bring `monitored_jobs` and `schedule_history` to what the server has deployed. Safe to repeat.

    1. Read everything from the server, before any lock is taken on the database.
    2. Give a job that 0.1.0 called by its flow alone the name of its deployment, with its past.
    3. Insert new jobs and update known ones. `since` moves only when a job comes back, is resumed or rescheduled, so
       that it is not overdue at once.
    4. Append to the history where the schedules changed, as of the time at which the server says that they did.
    5. Retire the jobs whose deployment is gone.

    `now` is the server's clock unless given. Raises httpx.HTTPError when the server cannot be asked, and
    DatabaseUnavailable.
    """
    now = now or await server_now(client)
    live = await read_live_jobs(client, now)
    async with engine.begin() as connection:
        if renamed := _renamed(live, await read_jobs(connection)):
            for old, new in renamed.items():
                logger.info("job_renamed", old=old, job_name=new)
                await rename_job(connection, old, new)
    async with reading(engine) as connection:
        known = await read_jobs(connection)
        history = await schedule_history(connection, now)
        newest = await latest_run_of_each_job(connection)
    changes = _compare(live, known, history, newest, now)
    async with engine.begin() as connection:
        await append_schedules(connection, changes.entries)
        await write_jobs(connection, changes.rows)
        await retire_jobs(connection, changes.synced.retired, now)
    return changes.synced


def current_entry(
    live: LiveJob, known: StoredJob | None, history: Sequence[ScheduleEntry], now: datetime
) -> ScheduleEntry | None:
    """Return the entry that the job's history lacks, or None if its last one is what the server has now."""
    if history and _is_same(history[-1], live.schedule, live.paused):
        return None
    changed_at = live.changed_at
    if known is not None and known.updated_at is not None and _has_fewer_schedules(live, known):
        # When a schedule was deleted is not known: it was there when somebody last looked.
        changed_at = max(changed_at, known.updated_at)
    valid_from = min(changed_at, now)
    if history:
        # Clocks may differ, but the history only grows.
        valid_from = max(valid_from, history[-1].valid_from + _TICK_OF_A_CLOCK)
    return ScheduleEntry(valid_from, live.schedule, live.paused)


def last_entry(job: StoredJob, history: Sequence[ScheduleEntry], now: datetime) -> ScheduleEntry:
    """Return the entry that ends the history of a job whose deployment is gone.

    When it was deleted is not known: nothing is asked of the time since it was last seen.
    """
    valid_from = min(job.updated_at or now, now)
    if history:
        valid_from = max(valid_from, history[-1].valid_from + _TICK_OF_A_CLOCK)
    return ScheduleEntry(valid_from, [], paused=True)


@dataclass(frozen=True)
class _Changes:
    """What is to be written."""

    synced: Synced
    entries: Mapping[str, ScheduleEntry]
    rows: Sequence[StoredJob]


def _compare(
    live: Sequence[LiveJob],
    known: Mapping[str, StoredJob],
    history: Mapping[str, Sequence[ScheduleEntry]],
    newest: Mapping[str, LogRow | None],
    now: datetime,
) -> _Changes:
    """What has changed. It may take seconds, and so holds no lock."""
    appeared: list[str] = []
    rescheduled: list[str] = []
    entries: dict[str, ScheduleEntry] = {}
    rows: list[StoredJob] = []
    deadline = time.monotonic() + COMPUTING_SECONDS
    later: list[str] = []
    for job in live:
        stored = known.get(job.job_name)
        is_new = stored is None or stored.retired_at is not None
        if not _is_interval_known(job, stored, now) and time.monotonic() > deadline:
            later.append(job.job_name)
            continue
        entry = current_entry(job, stored, history.get(job.job_name, ()), now)
        if entry is not None:
            entries[job.job_name] = entry
        if is_new:
            appeared.append(job.job_name)
        elif entry is not None:
            rescheduled.append(job.job_name)
        since = now if stored is None or is_new else entry.valid_from if entry is not None else stored.since
        row = _row(job, stored, since, covered_until(newest.get(job.job_name), since), now)
        lost = _lost_schedules(job, stored) if entry is not None else stored and stored.lost_schedules
        rows.append(replace(row, lost_schedules=None if is_new else lost))
    if later:
        logger.info("jobs_left_for_later", count=len(later), explanation="Their schedules take long to read.")
    names = {job.job_name for job in live}
    gone = [job for name, job in known.items() if job.retired_at is None and name not in names]
    entries |= {job.job_name: last_entry(job, history.get(job.job_name, ()), now) for job in gone}
    retired = tuple(job.job_name for job in gone)
    return _Changes(Synced(tuple(live), tuple(appeared), tuple(rescheduled), retired), entries, rows)


def covered_until(last_run: LogRow | None, since: datetime) -> datetime:
    """Say up to when no tick is outstanding: by the last run, or the beginning. What comes later than that is due."""
    planned_from = since + PLANNING_TIME
    if last_run is None:
        return planned_from
    # Clocks differ: a run may seem to have started before its tick.
    return max(planned_from, last_run.started_at, last_run.scheduled_for or last_run.started_at)


def _renamed(live: Sequence[LiveJob], known: Mapping[str, StoredJob]) -> dict[str, str]:
    """The new names, by the old ones: the deployment is the same, and no other of its flow can have a part in the past.

    Prefect renames neither flows nor deployments, so only the names of 0.1.0 change.
    """
    names = {job.job_name for job in live}
    old = {job.deployment_id: name for name, job in known.items() if name not in names}
    return {
        was: job.job_name
        for job in live
        if (was := old.get(job.deployment_id)) is not None
        and job.job_name not in known
        and [each for each in live if each.full_name.startswith(f"{was}/")] == [job]
    }


def _row(job: LiveJob, stored: StoredJob | None, since: datetime, covered: datetime, now: datetime) -> StoredJob:
    interval: float | None = None
    ticks: list[str] | None = None
    next_run_at = job.next_run_at
    try:
        is_known = _is_interval_known(job, stored, now)
        interval = stored.interval_seconds if stored is not None and is_known else longest_gap_seconds(job.specs, now)
        if job.is_judged_by_ticks:
            has_ended = stored is not None and is_known and stored.ticks == []
            ticks = [] if has_ended else [tick.isoformat() for tick in first_ticks(job.specs, covered)]
        if job.lacks_runs and now - job.changed_at < PLANNED_WITHIN:
            next_run_at = next(iter(first_ticks(job.specs, now)), None)
    except InvalidSchedule as error:
        logger.warning("schedule_not_understood", job_name=job.job_name, error=str(error))
    if job.is_unscheduled:
        ticks = None if _has_lost_schedule(job, stored) else []
    if job.expectations.wrong:
        logger.warning("tags_not_understood", job_name=job.job_name, wrong=list(job.expectations.wrong))
    return StoredJob(
        job_name=job.job_name,
        deployment_id=job.deployment_id,
        earlier_deployment_id=_earlier(job, stored),
        interval_seconds=interval or 0.0,
        schedule=job.schedule,
        since=since,
        paused=job.paused and not job.is_unscheduled,
        retired_at=None,
        next_run_at=next_run_at,
        planned_runs=job.planned_runs,
        expectations=job.expectations.as_json(),
        ticks=ticks,
    )


def _is_interval_known(job: LiveJob, stored: StoredJob | None, now: datetime) -> bool:
    """Whether what is stored was computed of this schedule since the job's own time of day.

    To compute it of a cron schedule takes up to 130 ms: with a time of its own for each job, a few are due at once.
    """
    if stored is None or stored.retired_at is not None or stored.updated_at is None:
        return False
    shift = timedelta(seconds=crc32(job.job_name.encode()) % 86_400)
    is_of_today = (stored.updated_at - shift).date() == (now - shift).date()
    return is_of_today and canonical_json(stored.schedule) == canonical_json(job.schedule)


def _has_lost_schedule(job: LiveJob, stored: StoredJob | None) -> bool:
    """Whether it had a schedule, and nobody says that it should have none. A schedule that is off was switched off."""
    if not job.is_unscheduled or stored is None or stored.retired_at is not None:
        return False
    return bool(stored.schedule) or (not stored.paused and stored.ticks is None)


def _has_fewer_schedules(job: LiveJob, stored: StoredJob) -> bool:
    return len(job.schedule) < len(stored.schedule)


def _lost_schedules(job: LiveJob, stored: StoredJob | None) -> list[dict[str, Any]] | None:
    """The schedules that are gone from a deployment that kept others as they were; None where somebody changed them.

    One that was off was not lost. Where others changed as well, somebody has edited them, and knows.
    """
    if stored is None or not job.schedule or job.paused:
        return None
    rules = [_rule(spec) for spec in stored.schedule]
    for spec in job.schedule:
        if _rule(spec) not in rules:
            return None
        rules.remove(_rule(spec))
    gone = [spec for spec in stored.schedule if spec["active"] and _rule(spec) in rules]
    return gone or None


def _rule(spec: Mapping[str, Any]) -> str:
    """When it ticks, whatever it is called, be it on or off. A deploy may give an interval another anchor."""
    return canonical_json({name: value for name, value in spec.items() if name not in ("active", "anchor", "slug")})


def _earlier(job: LiveJob, stored: StoredJob | None) -> UUID | None:
    if stored is None:
        return None
    return stored.earlier_deployment_id if stored.deployment_id == job.deployment_id else stored.deployment_id


def _is_same(entry: ScheduleEntry, schedule: list[dict[str, Any]], paused: bool) -> bool:
    return entry.paused == paused and canonical_json(entry.schedule) == canonical_json(schedule)
