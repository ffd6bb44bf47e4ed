"""The verdict on all jobs together, and whether the status flow, which watches them, is silent itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from flows.monitoring.verdicts.rules import ExpectedJob, Judgement
from flows.monitoring.vocabulary import Verdict

# The status flow has gone quiet after this many of its intervals.
STALE_INTERVALS = 3
# The end of a silence of so many is told. The server's own timer runs for STALE_INTERVALS, from one event to the next:
# a run's row ends after its event, and the next run looks before it sends one. Half an interval covers both.
SILENT_INTERVALS = 2.5


@dataclass(frozen=True, kw_only=True)
class Overall:
    """What there is to say about all jobs together."""

    verdict: Literal[Verdict.HEALTHY, Verdict.UNHEALTHY]
    stale: bool
    """Whether the status flow has gone quiet, so that nobody repairs the log and sends alarms."""
    stale_since: datetime | None
    unhealthy_jobs: tuple[str, ...]
    """The names of the jobs whose verdict makes the whole unhealthy, sorted."""


def judge_all(
    judgements: Mapping[str, Judgement],
    *,
    stale: bool,
    stale_since: datetime | None = None,
    not_started_is_healthy: bool = False,
) -> Overall:
    """Judge all jobs together, from the `judgements` on each, by name.

    Unhealthy if a job is, if a job whose first tick has come has not started (unless `not_started_is_healthy`), if no
    job is expected at all, and if it is stale, as `judge_staleness` tells.
    """
    alarming = {Verdict.UNHEALTHY} if not_started_is_healthy else {Verdict.UNHEALTHY, Verdict.NOT_STARTED}
    unhealthy_jobs = tuple(
        sorted(name for name, each in judgements.items() if each.verdict in alarming and not each.is_calm)
    )
    return Overall(
        verdict=Verdict.UNHEALTHY if unhealthy_jobs or stale or not judgements else Verdict.HEALTHY,
        stale=stale,
        stale_since=stale_since,
        unhealthy_jobs=unhealthy_jobs,
    )


def judge_staleness(
    status_flow: ExpectedJob | None, reported_at: datetime | None, now: datetime
) -> tuple[bool, datetime | None]:
    """Judge whether the status flow has gone quiet, and since when if that is known.

    It has if it reported (`reported_at`) more than 3 of its intervals ago, or never did though it is expected for as
    long, or is not expected. One that somebody paused has not, nor one that nothing schedules: nobody knows when it is
    due.
    """
    if status_flow is None:
        return True, None
    if status_flow.paused or status_flow.is_on_demand:
        return False, None
    if status_flow.longest_interval_seconds is None:
        return True, None
    bound = max(status_flow.since, reported_at or status_flow.since) + STALE_INTERVALS * timedelta(
        seconds=status_flow.longest_interval_seconds
    )
    return (True, bound) if now > bound else (False, None)


def is_silence(status_flow: ExpectedJob, since: datetime, now: datetime) -> bool:
    """Return whether the Prefect server may have told of a silence of the status flow since then, so its end is told.

    Rather once too often: nobody minds an end that was told in vain, and an incident that nobody closes stays open.
    """
    if status_flow.paused or status_flow.longest_interval_seconds is None:
        return False
    return now - since > SILENT_INTERVALS * timedelta(seconds=status_flow.longest_interval_seconds)
