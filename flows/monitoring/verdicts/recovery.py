"""When a job that is healthy again became so."""

from datetime import datetime

from flows.monitoring.verdicts.rules import JobFacts, telling
from flows.monitoring.vocabulary import Reason, Status


def recovered_at(reason: Reason, since: datetime, facts: JobFacts) -> datetime | None:
    """Say when a job that was unhealthy for `reason` since `since`, and no longer is, became healthy again.

    That is the start of the first run after `since` for a job that did not run, and else the end of the first run that
    ended after it: any for a stuck one, a success for one that had none, one that did not fail for a failing one. None
    if the facts do not show it.
    """
    if reason in (Reason.NOT_STARTED, Reason.OVERDUE):
        starts = [outcome.started_at for outcome in facts.outcomes] + [facts.running_since, facts.last_run]
        return min((start for start in starts if start is not None and start > since), default=None)
    ends = (
        outcome.completed_at
        for outcome in telling(facts.outcomes)
        if outcome.completed_at > since and _ends(reason, outcome.status)
    )
    return min(ends, default=None)


def _ends(reason: Reason, status: str) -> bool:
    """Whether a run that ended with `status` ends an outage for `reason`."""
    match reason:
        case Reason.STUCK:
            return True
        case Reason.NO_SUCCESS:
            return status == Status.SUCCESS
        case _:
            return status != Status.FAILURE
