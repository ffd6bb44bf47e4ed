"""What a Prefect state means in the execution log. Pure, and shared by the hooks and the reconciler."""

from dataclasses import dataclass, field
from typing import Any

from prefect.client.schemas.objects import State, StateType

from flows.monitoring.vocabulary import RowReason, Status

PARTIAL_FAILURE = "PartialFailure"
SKIPPED = "Skipped"
# The name that the server's automation, or the reconciler, gives to a late run that it cancels.
MISSED = "Missed"

_STATUS_OF_NAME = {PARTIAL_FAILURE: Status.PARTIAL_FAILURE, SKIPPED: Status.SKIPPED}
_STATUS_OF_TYPE = {
    StateType.COMPLETED: Status.SUCCESS,
    StateType.FAILED: Status.FAILURE,
    StateType.CRASHED: Status.FAILURE,
    StateType.CANCELLED: Status.CANCELLED,
    # The cancellation hook runs while the state is still Cancelling.
    StateType.CANCELLING: Status.CANCELLED,
}
# The server's own words for a run that the deployment's concurrency limit refused, at once or while it was started.
_REFUSED = ("concurrency limit", "concurrency slot")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the log's status, the error to show (None where there is none) and the details to keep."""

    status: str
    error_message: str | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])


def outcome_of(state: State[Any], *, run_count: int | None) -> Outcome | None:
    """Return the outcome that `state` stands for, or None while the run is not over.

    `run_count` is how often the run's body was started, or None where that is not known (a hook's run is stale). It
    tells a run that was cancelled while it ran from one that never started: refused for overlap, or swept as late.
    """
    status = _STATUS_OF_TYPE.get(state.type)
    if status is None:
        return None
    message = state.message or ""
    if state.type == StateType.COMPLETED:
        status = _STATUS_OF_NAME.get(state.name or "", status)
        return Outcome(status, message or None if status == Status.PARTIAL_FAILURE else None)
    if state.type == StateType.CANCELLED and run_count == 0:
        if state.name == MISSED:
            return Outcome(Status.SKIPPED, details={"reason": RowReason.MISFIRE})
        if any(words in message.lower() for words in _REFUSED):
            return Outcome(Status.SKIPPED, details={"reason": RowReason.OVERLAP})
    if state.type == StateType.CRASHED:
        return Outcome(status, message or "The run crashed.", {"reason": RowReason.CRASHED})
    if state.name == "TimedOut":
        return Outcome(status, message, {"reason": RowReason.TIMED_OUT})
    return Outcome(status, message or None)
