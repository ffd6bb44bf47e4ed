"""The reconciler: what the server knows and the log lacks. Part of `pipeline_status`, every few minutes.

It costs what happened since the last time, not what the log holds: everything is asked from a watermark on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.registry import ScheduleEntry, SeenJob, read_jobs, schedule_history
from flows.monitoring.jobs.schedules import InvalidSchedule
from flows.monitoring.jobs.ticks import expected_ticks, missed
from flows.monitoring.log.merge import CLAIMS
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.rows import LogRow, open_rows, read_rows, rows_between
from flows.monitoring.prefect_runs import (
    count_ended,
    fact_of,
    flow_names,
    of_jobs,
    runs_due,
    runs_ended,
    runs_with_ids,
    server_now,
)
from flows.monitoring.reconcile.late_runs import sweep_late_runs
from flows.monitoring.reconcile.lost_runs import LOST, Patience, end_lost_runs
from flows.monitoring.reconcile.watermark import read_watermark, write_watermark
from flows.monitoring.vocabulary import STATUS_FLOW, Status

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
FACTS_IN_A_TRANSACTION = 50
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


@dataclass
class _Counts:
    repaired: int = 0
    lost: int = 0
    missed: int = 0


async def reconcile(
    client: PrefectClient, engine: AsyncEngine, *, now: datetime | None = None, patience: Patience | None = None
) -> Reconciled:
    """Bring the log to what the server knows. Repeating it changes nothing.

    1. Cancel the scheduled runs that are too late to start. End those that cannot be alive any more, unless the server
       may have been away since the last time: then they had no chance to say that they live.
    2. Close the rows that are open although their run is over, or gone from the server.
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
        history = await schedule_history(connection)
    names = await flow_names(client, of_jobs(jobs))
    counts = _Counts()
    counts.repaired += await _record(engine, await sweep_late_runs(client, names, now))
    if watermark is not None and now - watermark <= _usual_gap(jobs):
        facts = await end_lost_runs(client, names, now, patience or Patience())
        counts.lost += await _record(engine, facts)
    await _close_open_rows(client, engine, now, counts)
    until = watermark or min((entries[0].valid_from for entries in history.values()), default=now)
    slices = 0
    while until < now and slices < SLICES:
        start = until - MARGIN
        until = await _slice_end(client, jobs, start, until, now)
        await _record_ended(client, engine, names, start, until, counts)
        await _record_missed(client, engine, history, start, until - TICK_GRACE, counts)
        async with engine.begin() as connection:
            await write_watermark(connection, until)
        slices += 1
    counts.repaired += counts.lost
    return Reconciled(until, until < now, counts.repaired, counts.lost, counts.missed)


async def _close_open_rows(client: PrefectClient, engine: AsyncEngine, now: datetime, counts: _Counts) -> None:
    async with reading(engine) as connection:
        rows = (await open_rows(connection, now))[:OPEN_ROWS]
    runs = await runs_with_ids(client, [row.execution_id for row in rows])
    over = [fact for row in rows if (run := runs.get(row.execution_id)) and (fact := fact_of(run, row.job_name))]
    gone = [_gone(row, now) for row in rows if row.execution_id not in runs]
    counts.repaired += await _record(engine, over)
    counts.lost += await _record(engine, gone)


async def _slice_end(
    client: PrefectClient, jobs: Mapping[str, SeenJob], start: datetime, until: datetime, now: datetime
) -> datetime:
    """How far beyond `until` one slice may go, so that what ended in it since `start` is not too much at once."""
    end = min(until + LONGEST_SLICE, now)
    while end - until > SHORTEST_SLICE and await count_ended(client, jobs, start, end) > RUNS_IN_A_SLICE:
        end = until + max((end - until) / 2, SHORTEST_SLICE)
    return end


async def _record_ended(
    client: PrefectClient,
    engine: AsyncEngine,
    names: Mapping[UUID, str],
    start: datetime,
    end: datetime,
    counts: _Counts,
) -> None:
    runs = await runs_ended(client, set(names.values()), start, end)
    async with reading(engine) as connection:
        rows = await read_rows(connection, [run.id for run in runs])
    facts = (fact_of(run, names[run.flow_id]) for run in runs if run.flow_id in names)
    news = [fact for fact in facts if fact is not None and _says_more(fact, rows.get(fact.execution_id))]
    counts.repaired += await _record(engine, news)


async def _record_missed(
    client: PrefectClient,
    engine: AsyncEngine,
    history: Mapping[str, Sequence[ScheduleEntry]],
    start: datetime,
    end: datetime,
    counts: _Counts,
) -> None:
    due = {job_name: ticks for job_name, entries in history.items() if (ticks := _ticks(job_name, entries, start, end))}
    if not due:
        return
    names = await flow_names(client, of_jobs(due))
    accounted: dict[str, set[datetime]] = {job_name: set() for job_name in due}
    extra: set[UUID] = set()
    for run in await runs_due(client, due, start, end):
        if not run.auto_scheduled:
            extra.add(run.id)
        elif run.expected_start_time is not None and run.flow_id in names:
            accounted[names[run.flow_id]].add(run.expected_start_time)
    async with reading(engine) as connection:
        for job_name in due:
            rows = await rows_between(connection, job_name, start - EARLIEST_START, end + timedelta(days=1))
            accounted[job_name].update(
                row.scheduled_for for row in rows if row.scheduled_for is not None and row.execution_id not in extra
            )
    facts = [missed(job, tick) for job, ticks in due.items() for tick in ticks if tick not in accounted[job]]
    counts.missed += await _record(engine, facts)


async def _record(engine: AsyncEngine, facts: Sequence[Fact]) -> int:
    """Record `facts`, some at a time so that no writer waits for long. Gives how many changed the log."""
    changed = 0
    for start in range(0, len(facts), FACTS_IN_A_TRANSACTION):
        async with engine.begin() as connection:
            for fact in facts[start : start + FACTS_IN_A_TRANSACTION]:
                changed += await record(connection, fact)
    return changed


def _says_more(fact: Fact, row: LogRow | None) -> bool:
    """Whether the log lacks what `fact` says: a row, its end, a start, or that the server has another opinion."""
    if row is None or row.status == Status.RUNNING or row.attempt < fact.attempt:
        return True
    return fact.status not in (row.status, row.details.get(CLAIMS, {}).get("reconciler"))


def _gone(row: LogRow, now: datetime) -> Fact:
    closing = Closing(Status.FAILURE, now, "reconciler", "Lost: the server no longer has this run.", {"reason": LOST})
    return Fact(row.execution_id, row.job_name, row.scheduled_for, row.attempt, row.started_at, closing)


def _ticks(job_name: str, entries: Sequence[ScheduleEntry], start: datetime, end: datetime) -> list[datetime]:
    try:
        return expected_ticks(entries, start, end)
    except InvalidSchedule as error:
        logger.warning("schedule_not_understood", job_name=job_name, error=str(error))
        return []


def _usual_gap(jobs: Mapping[str, SeenJob]) -> timedelta:
    """How long after the last reconciliation this one may come if nothing was away in between."""
    status_job = jobs.get(STATUS_FLOW)
    interval = status_job.interval_seconds if status_job is not None else 0.0
    return timedelta(seconds=ON_TIME_INTERVALS * (interval or USUAL_INTERVAL_SECONDS))
