"""What a job did lately: its last runs, the times in which it delivered nothing, and its uptime.

A job is *up* while its last run that delivered (`success` or `partial_failure`) started no longer ago than is expected
of it, give or take the usual delay of a start. A job that never delivered was never up. So failed, skipped, cancelled,
missed, stuck and absent runs all count alike: by the data that did not come.

Ticks that are not evenly spaced, such as those of weekdays, are expected no sooner than after the longest gap between
them. So the times in which the job was judged late by its known ticks count as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.monitoring.log.rows import LogRow, latest_runs
from flows.monitoring.verdicts.pauses import last_delivery, long_pauses
from flows.monitoring.verdicts.rules import OVERDUE_INTERVALS, ExpectedJob, grace
from flows.monitoring.verdicts.stored import transitions_of
from flows.monitoring.vocabulary import Reason

RUNS_SHOWN = 60
# A run starts a little early or late. A skipped tick is not an outage, though the next run comes two intervals later.
JITTER = timedelta(seconds=60)
_LATE = (Reason.OVERDUE, Reason.NOT_STARTED)
WINDOWS = {"24 h": timedelta(hours=24), "7 d": timedelta(days=7), "30 d": timedelta(days=30)}


@dataclass(frozen=True)
class Downtime:
    """A stretch in which the job was not up; an ongoing one ends at the moment of asking."""

    start: datetime
    end: datetime
    ongoing: bool

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Uptime:
    """The share of a window in which the job was up. The window is shorter for a job that is younger."""

    ratio: float
    window_seconds: float


@dataclass(frozen=True)
class JobHistory:
    """A job's past, as far as it is shown."""

    runs: Sequence[LogRow]
    """The last runs and ticks without a run, oldest first."""
    downtimes: Sequence[Downtime]
    """Those within the longest window, oldest first."""
    uptimes: dict[str, Uptime]
    """By the name of the window; empty for a job of which nothing can be expected, or nothing could be yet."""


async def read_history(connection: AsyncConnection, job: ExpectedJob, now: datetime) -> JobHistory:
    """Read the job's past at `now`. Only the time since `job.since` counts: before, its schedule may have differed."""
    runs = await latest_runs(connection, job.name, RUNS_SHOWN)
    downtimes: list[Downtime] = []
    uptimes: dict[str, Uptime] = {}
    if job.longest_interval_seconds is not None and not job.paused and job.since < now:
        interval = timedelta(seconds=job.longest_interval_seconds)
        downtimes = await _read_downtimes(connection, job, interval, now)
        if await last_delivery(connection, job.name) is None:
            if not downtimes:
                return JobHistory(runs[::-1], [], {})
            downtimes = [Downtime(max(job.since, now - max(WINDOWS.values())), now, ongoing=True)]
        uptimes = {name: uptime(downtimes, max(job.since, now - length), now) for name, length in WINDOWS.items()}
    return JobHistory(runs[::-1], downtimes, uptimes)


def uptime(downtimes: Sequence[Downtime], start: datetime, end: datetime) -> Uptime:
    """Return the share of the time from `start` to `end` that is in none of `downtimes`, which do not overlap."""
    window = (end - start).total_seconds()
    down = sum(max(0.0, (min(each.end, end) - max(each.start, start)).total_seconds()) for each in downtimes)
    return Uptime(1 - down / window, window)


def longest_wait(job: ExpectedJob, interval: timedelta) -> timedelta:
    """Say how long after a delivery the next may come: 2 intervals, or the longest gap between ticks and the grace.

    `stale_after` makes it shorter.
    """
    by_schedule = OVERDUE_INTERVALS * interval
    if job.ticks is not None:
        by_schedule = interval + grace(job.tags, job.longest_interval_seconds)
    return by_schedule if job.tags.stale_after is None else min(by_schedule, timedelta(seconds=job.tags.stale_after))


async def _read_downtimes(
    connection: AsyncConnection, job: ExpectedJob, interval: timedelta, now: datetime
) -> list[Downtime]:
    window_start = now - max(WINDOWS.values())
    tolerated = longest_wait(job, interval)
    # What came before the window decides whether it begins up or down.
    before = await last_delivery(connection, job.name, before=window_start)
    pauses = await long_pauses(
        connection,
        job.name,
        start=max(job.since, before or job.since),
        end=now,
        longer_than_seconds=(tolerated + min(JITTER, interval)).total_seconds(),
    )
    downtimes = (
        Downtime(max(pause.start + tolerated, window_start), pause.end, ongoing=pause.end == now) for pause in pauses
    )
    late = await _late_times(connection, job.name, window_start, now) if job.ticks is not None else []
    return _united([each for each in (*downtimes, *late) if each.end > each.start])


async def _late_times(connection: AsyncConnection, job_name: str, start: datetime, now: datetime) -> list[Downtime]:
    """The times since `start` in which the job was judged late."""
    found: list[Downtime] = []
    since: datetime | None = None
    for change in await transitions_of(connection, job_name, start):
        if change.reason in _LATE:
            since = since or change.at
            continue
        if since is None and change.details.get("outage_reason") in _LATE and not found:
            since = start  # it was late already
        if since is not None:
            found.append(Downtime(since, change.at, ongoing=False))
            since = None
    return found if since is None else [*found, Downtime(since, now, ongoing=True)]


def _united(downtimes: Sequence[Downtime]) -> list[Downtime]:
    """The same times, oldest first, without overlaps."""
    found: list[Downtime] = []
    for each in sorted(downtimes, key=lambda downtime: downtime.start):
        if found and each.start <= found[-1].end:
            before = found.pop()
            last = max(before, each, key=lambda downtime: downtime.end)
            found.append(Downtime(before.start, last.end, last.ongoing))
        else:
            found.append(each)
    return found
