"""Whether the log is complete: expected ticks against the server's flow runs against the log's rows.

It reads both sides and writes nothing. It is the oracle of the fault tests, and `vibecheck verify` for users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.jobs.expectations import current_entry, last_entry
from flows.monitoring.jobs.registry import ScheduleEntry, StoredJob, deployments_of, read_jobs, schedule_history
from flows.monitoring.jobs.schedules import InvalidSchedule, longest_gap_seconds
from flows.monitoring.log.rows import LogRow, read_rows, rows_between
from flows.monitoring.prefect_runs import JobRuns, server_now
from flows.monitoring.verdicts.wording import clock
from flows.monitoring.verify.accounts import Evidence, JobAccount, Window, account_for

# The reconciler comes every 5 minutes, and gives a run 5 minutes to start: by then, all is accounted for.
GRACE = timedelta(minutes=10)
# How much earlier or later than its tick a row may have started and still be found without its flow run.
_EARLY, _LATE = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Verification:
    """The accounts of all jobs, for the ticks from `since` on and before `until`."""

    since: datetime
    until: datetime
    jobs: tuple[JobAccount, ...]
    unseen: tuple[str, ...] = ()
    """What could not be seen of any job, in words."""

    @property
    def is_complete(self) -> bool:
        """Whether every tick is in its class, and every run that is over has its row."""
        return not any(problem for job in self.jobs for problem in job.problems())

    def as_json(self) -> dict[str, Any]:
        """Return the whole as plain values; times are datetimes, ids are UUIDs."""
        return {"complete": self.is_complete, **asdict(self)}


async def verify(
    client: PrefectClient,
    engine: AsyncEngine,
    *,
    since: datetime,
    until: datetime | None = None,
    grace: timedelta = GRACE,
    retention_days: int | None = None,
    zone: tzinfo = UTC,
) -> Verification:
    """Account for every tick from `since` on and before `until` (default: now, by the server's clock).

    What is younger than `grace` may still be pending. Schedules are the live ones, with the history that the log's
    database has of them. Rows older than `retention_days` are not looked for, as they may have been deleted.
    Sentences tell times in `zone`.
    Raises httpx.HTTPError when the server cannot be asked, and DatabaseUnavailable.
    """
    now = await server_now(client)
    until = min(until or now, now)
    unseen: list[str] = []
    if retention_days is not None and since < (kept_since := now - timedelta(days=retention_days)):
        kept = clock(kept_since, now.astimezone(zone), with_seconds=True)
        unseen.append(f"Anything before {kept}: the log keeps {retention_days} days.")
        since = kept_since
    live = {job.job_name: job for job in await read_live_jobs(client, now)}
    async with reading(engine) as connection:
        known = await read_jobs(connection)
        history = await schedule_history(connection, since)
        names = sorted({*live, *known})
        rows: dict[str, dict[UUID, LogRow]] = {name: {} for name in names}
        for row in await rows_between(connection, names, since - _EARLY, until + _LATE):
            rows[row.job_name][row.execution_id] = row
    deployments = deployments_of(known) | {job.deployment_id: name for name, job in live.items()}
    runs = await _runs(JobRuns(client, deployments), names, since, until)
    missing = [id_ for name in names for id_ in runs[name] if id_ not in rows[name]]
    for name, found in (await _rows_of(engine, missing)).items():
        rows.setdefault(name, {}).update(found)
    window = Window(since, until, now, grace, zone)
    accounts = [
        account_for(
            Evidence(
                name,
                _interval(live.get(name), known.get(name), now),
                _whole_history(live.get(name), known.get(name), history.get(name, ()), now),
                runs[name],
                rows[name],
            ),
            window,
        )
        for name in names
    ]
    # A job that was retired before, and left no trace in this time, is not worth a line.
    shown = [each for each in accounts if each.job_name in live or each.ticks or each.extra_runs]
    return Verification(since, until, tuple(shown), tuple(unseen))


def _whole_history(
    live: LiveJob | None, known: StoredJob | None, stored: Sequence[ScheduleEntry], now: datetime
) -> Sequence[ScheduleEntry]:
    """What is stored, and what has changed on the server since it was stored."""
    if live is not None:
        news = current_entry(live, known, stored, now)
    elif known is not None and known.retired_at is None:
        news = last_entry(known, stored, now)
    else:
        news = None
    return stored if news is None else (*stored, news)


def _interval(live: LiveJob | None, known: StoredJob | None, now: datetime) -> timedelta:
    if known is not None:
        return timedelta(seconds=known.interval_seconds)
    try:
        gap = longest_gap_seconds(live.specs, now) if live is not None else None
    except InvalidSchedule:
        gap = None
    return timedelta(seconds=gap or 0.0)


async def _rows_of(engine: AsyncEngine, execution_ids: Sequence[UUID]) -> dict[str, dict[UUID, LogRow]]:
    """Rows that started so long after their tick that they were not among those of the window; by job."""
    found: dict[str, dict[UUID, LogRow]] = {}
    async with reading(engine) as connection:
        for id_, row in (await read_rows(connection, execution_ids)).items():
            found.setdefault(row.job_name, {})[id_] = row
    return found


async def _runs(
    runs: JobRuns, job_names: Sequence[str], since: datetime, until: datetime
) -> Mapping[str, dict[UUID, FlowRun]]:
    by_job: dict[str, dict[UUID, FlowRun]] = {name: {} for name in job_names}
    for run in await runs.due(since, until):
        by_job[runs.job_of(run)][run.id] = run
    return by_job
