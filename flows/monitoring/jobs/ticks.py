"""The ticks that a job should have had, from the history of its schedules. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from flows.monitoring.jobs.registry import ScheduleEntry
from flows.monitoring.jobs.schedules import ScheduleSpec, next_ticks, ticks_between
from flows.monitoring.log.record import Closing, Fact
from flows.monitoring.vocabulary import RowReason, Status, Writer

# The server's scheduler looks for new and changed deployments every 5 seconds. A tick that is due before it has looked
# is not expected: `prefect deploy` takes away the planned runs, and the scheduler never plans the past.
PLANNING_TIME = timedelta(seconds=15)
# How many ticks ahead are kept for readers who cannot compute them: more than come between two status flows, but for
# jobs of a few seconds, whose lateness is then told by the next status flow.
TICKS_KEPT = 16


def expected_ticks(history: Sequence[ScheduleEntry], start: datetime, end: datetime) -> list[datetime]:
    """Return the ticks from `start` on and before `end` by `history` (one job's, oldest first), sorted, in UTC.

    Nothing is known, and so nothing expected, of the time before its first entry. Raises InvalidSchedule.
    """
    ticks: set[datetime] = set()
    for valid_from, valid_until, schedule in _stretches(history, end):
        ticks.update(ticks_between(cast("list[ScheduleSpec]", schedule), max(start, valid_from), valid_until))
    return sorted(ticks)


def first_ticks(specs: Sequence[ScheduleSpec], after: datetime) -> list[datetime]:
    """Return the first few ticks later than `after`; fewer, or none, if no more are to come. Raises InvalidSchedule."""
    return next_ticks(specs, after + timedelta(microseconds=1), TICKS_KEPT)


def missed(job_name: str, tick: datetime) -> Fact:
    """Say that no run was ever there for `tick`: in the same words, whoever says it and whenever."""
    return Fact(
        execution_id=missed_id(job_name, tick),
        job_name=job_name,
        scheduled_for=tick,
        attempt=0,
        started_at=tick,
        closing=Closing(
            status=Status.MISSED,
            completed_at=tick,
            closed_by=Writer.RECONCILER,
            error_message="The server has no run for this tick: it planned none, or has deleted it.",
            details={"reason": RowReason.NO_RUN},
        ),
    )


def missed_id(job_name: str, tick: datetime) -> UUID:
    """Return the execution id of a tick without a flow run."""
    return uuid5(NAMESPACE_URL, f"vibecheck:{job_name}:{tick.astimezone(UTC).isoformat()}")


def _stretches(
    history: Sequence[ScheduleEntry], end: datetime
) -> Iterator[tuple[datetime, datetime, list[dict[str, Any]]]]:
    last = ScheduleEntry(end, [], paused=True)
    for entry, following in pairwise((*history, last)):
        yield entry.valid_from + PLANNING_TIME, min(following.valid_from, end), entry.schedule
