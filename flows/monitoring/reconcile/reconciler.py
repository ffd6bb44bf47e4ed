"""The reconciler: what the server knows and the log lacks. Part of `pipeline_status`, every few minutes.

It costs what happened since the last time, not what the log holds: everything is asked from a watermark on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.registry import ScheduleEntry, StoredJob, deployments_of, read_jobs, schedule_history
from flows.monitoring.jobs.schedules import InvalidSchedule
from flows.monitoring.jobs.ticks import expected_ticks, missed
from flows.monitoring.log.facts import end_of, fact_of
from flows.monitoring.log.merge import CLAIMS
from flows.monitoring.log.record import Closing, Fact, record_all
from flows.monitoring.log.rows import LogRow, open_rows, read_rows, ticks_logged
from flows.monitoring.log.watermark import read_watermark, write_watermark
from flows.monitoring.paging import pages
from flows.monitoring.prefect_runs import JobRuns, server_now, unless_refused
from flows.monitoring.reconcile.late_runs import sweep_late_runs
from flows.monitoring.reconcile.lost_runs import Patience, end_lost_runs
from flows.monitoring.vocabulary import LATE_RUNS, LOST_RUNS, OWNER, STATUS_FLOW, RowReason, Status, Writer

# Facts arrive late: transactions in flight, clocks that differ. So each time begins again this long before the
# watermark.
MARGIN = timedelta(minutes=15)
# Runs are planned ahead of their time; a tick that has none when it is this old will never have one.
TICK_GRACE = timedelta(seconds=60)
# One reconciliation takes this many slices of time at the most, each with this many ended runs at the most (unless more
# ended within a minute).
SLICES = 24
RUNS_IN_A_SLICE = 1_000
SHORTEST_SLICE = timedelta(minutes=1)
LONGEST_SLICE = timedelta(hours=6)
OPEN_ROWS = 500
# A reconciliation that comes later than this many intervals of its job may have found the server away in between.
ON_TIME_INTERVALS = 1.5
USUAL_INTERVAL_SECONDS = 300.0
EARLIEST_START = timedelta(hours=1)

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Reconciled:
    """What one reconciliation did. Everything up to `until` (the server's clock) is accounted for."""

    until: datetime
    is_behind: bool
    """Whether there was more to do than one reconciliation takes; the next one goes on."""
    repaired: int
    """Rows of runs that were written or corrected."""
    lost: int
    """Of these, rows of runs that were found lost: dead, stuck, or gone from the server."""
    missed: int
    """Rows written for ticks that no run was there for."""


async def reconcile(
    client: PrefectClient,
    engine: AsyncEngine,
    live: Sequence[LiveJob],
    *,
    now: datetime | None = None,
    patience: Patience | None = None,
) -> Reconciled:
    """Bring the log to what the server knows. Repeating it changes nothing.

    1. Of the supervised jobs among `live`: cancel the scheduled runs that are too late to start. End those that cannot
       be alive any more, unless the server may have been away since the last time: then they had no chance to say that
       they live. Neither where its automation on the server is switched off.
    2. Close the rows that are open although their run is over, or gone from the server; and open one for each run that
       is going and has none, as its process writes none.
    3. From a margin before the watermark to now, slice by slice: record each run that ended where the row is missing,
       open or disagrees; and each tick older than a grace that has neither run nor row, as `missed`.
    4. Move the watermark after each slice, and stop after SLICES of them.

    `sync_expectations` comes first: the jobs and their ticks are read from the database. `now` is the server's clock
    unless given. Raises httpx.HTTPError when the server cannot be asked, and DatabaseUnavailable.
    """
    now = now or await server_now(client)
    async with reading(engine) as connection:
        jobs = await read_jobs(connection)
        watermark = await read_watermark(connection)
        history = await schedule_history(connection, watermark and watermark - MARGIN)
    work = _Reconciliation(engine, JobRuns(client, deployments_of(jobs)), history, now)
    supervised = work.runs.of(job.deployment_id for job in live if job.is_supervised)
    allowed = await _switched_on(client) if supervised.jobs else set[str]()
    if LATE_RUNS in allowed:
        await work.sweep_late(supervised)
    if LOST_RUNS in allowed and watermark is not None and now - watermark <= _usual_gap(jobs):
        await work.end_lost(supervised, patience or Patience())
    await work.close_open_rows()
    await work.open_rows()
    until = watermark or min((entries[0].valid_from for entries in history.values()), default=now)
    slices = 0
    while until < now and slices < SLICES:
        start = until - MARGIN
        until = await work.end_of_slice(start, until)
        await work.record_ended(start, until)
        await work.record_missed(start, until - TICK_GRACE)
        async with engine.begin() as connection:
            await write_watermark(connection, until)
        slices += 1
    return Reconciled(until, until < now, work.repaired, work.lost, work.missed)


@dataclass
class _Reconciliation:
    """One reconciliation: whose runs it looks at, by which clock, and what it has done so far."""

    engine: AsyncEngine
    runs: JobRuns
    history: Mapping[str, Sequence[ScheduleEntry]]
    now: datetime
    repaired: int = 0
    lost: int = 0
    missed: int = 0

    async def sweep_late(self, runs: JobRuns) -> None:
        self.repaired += await self._record(await sweep_late_runs(runs, self.now))

    async def end_lost(self, runs: JobRuns, patience: Patience) -> None:
        await self._record_lost(await end_lost_runs(runs, self.now, patience))

    async def close_open_rows(self) -> None:
        async with reading(self.engine) as connection:
            rows = await open_rows(connection, self.now, limit=OPEN_ROWS)
        runs = await self.runs.with_ids([row.execution_id for row in rows])
        over = [fact for row in rows if (run := runs.get(row.execution_id)) and (fact := end_of(run, row.job_name))]
        self.repaired += await self._record(over)
        await self._record_lost([_gone(row, self.now) for row in rows if row.execution_id not in runs])

    async def open_rows(self) -> None:
        runs = await self.runs.in_states([StateType.RUNNING])
        async with reading(self.engine) as connection:
            rows = await read_rows(connection, [run.id for run in runs])
        going = [fact_of(run, self.runs.job_of(run)) for run in runs if run.id not in rows]
        self.repaired += await self._record(going)

    async def end_of_slice(self, start: datetime, until: datetime) -> datetime:
        """Say how far beyond `until` a slice may go, so that what ended in it since `start` is not too much at once."""
        end = min(until + LONGEST_SLICE, self.now)
        while end - until > SHORTEST_SLICE and await self.runs.count_ended(start, end) > RUNS_IN_A_SLICE:
            end = until + max((end - until) / 2, SHORTEST_SLICE)
        return end

    async def record_ended(self, start: datetime, end: datetime) -> None:
        runs = await self.runs.ended(start, end)
        async with reading(self.engine) as connection:
            rows = await read_rows(connection, [run.id for run in runs])
        facts = (end_of(run, self.runs.job_of(run)) for run in runs)
        news = [fact for fact in facts if fact is not None and _says_more(fact, rows.get(fact.execution_id))]
        self.repaired += await self._record(news)

    async def record_missed(self, start: datetime, end: datetime) -> None:
        due = {job: ticks for job, entries in self.history.items() if (ticks := _ticks(job, entries, start, end))}
        if not due:
            return
        accounted: dict[str, set[datetime]] = {job_name: set() for job_name in due}
        extra: set[UUID] = set()
        for run in await self.runs.due(start, end):
            if not run.auto_scheduled:
                extra.add(run.id)
            elif run.expected_start_time is not None:
                accounted.setdefault(self.runs.job_of(run), set()).add(run.expected_start_time)
        async with reading(self.engine) as connection:
            logged = await ticks_logged(connection, sorted(due), start - EARLIEST_START, end + timedelta(days=1))
        for job_name, tick, execution_id in logged:
            if execution_id not in extra:
                accounted[job_name].add(tick)
        facts = [missed(job, tick) for job, ticks in due.items() for tick in ticks if tick not in accounted[job]]
        self.missed += await self._record(facts)

    async def _record_lost(self, facts: Sequence[Fact]) -> None:
        changed = await self._record(facts)
        self.lost += changed
        self.repaired += changed

    async def _record(self, facts: Sequence[Fact]) -> int:
        """Record `facts`, some at a time so that no writer waits for long. Return how many changed the log."""
        changed = 0
        for page in pages(facts):
            async with self.engine.begin() as connection:
                changed += await record_all(connection, page)
        return changed


async def _switched_on(client: PrefectClient) -> set[str]:
    """Which of the ways to interfere nobody has switched off in Prefect's UI. One without an automation is on.

    None where the server does not say.
    """
    automations = await unless_refused(client.read_resource_related_automations(OWNER), resource=OWNER)
    if automations is None:
        return set()
    switches = {
        name: [each.enabled for each in automations if each.name.startswith(name)] for name in (LATE_RUNS, LOST_RUNS)
    }
    return {name for name, enabled in switches.items() if any(enabled) or not enabled}


def _says_more(fact: Fact, row: LogRow | None) -> bool:
    """Whether the log lacks what `fact` says: a row, its end, a start, its job, or that the server disagrees."""
    if row is None or row.status == Status.RUNNING or row.attempt < fact.attempt or row.job_name < fact.job_name:
        return True
    return fact.status not in (row.status, row.details.get(CLAIMS, {}).get(Writer.RECONCILER))


def _gone(row: LogRow, now: datetime) -> Fact:
    why, details = "Lost: the server no longer has this run.", {"reason": RowReason.LOST}
    closing = Closing(Status.FAILURE, now, Writer.RECONCILER, why, details)
    return Fact(row.execution_id, row.job_name, row.scheduled_for, row.attempt, row.started_at, closing)


def _ticks(job_name: str, entries: Sequence[ScheduleEntry], start: datetime, end: datetime) -> list[datetime]:
    try:
        return expected_ticks(entries, start, end)
    except InvalidSchedule as error:
        logger.warning("schedule_not_understood", job_name=job_name, error=str(error))
        return []


def _usual_gap(jobs: Mapping[str, StoredJob]) -> timedelta:
    """How long after the last reconciliation this one may come if nothing was away in between."""
    status_job = jobs.get(STATUS_FLOW)
    interval = status_job.interval_seconds if status_job is not None else 0.0
    return timedelta(seconds=ON_TIME_INTERVALS * (interval or USUAL_INTERVAL_SECONDS))
