"""The backstop for late runs: a run that its schedule started too late does no work and says so."""

from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed

from flows.execution_log.outcome import SKIPPED


def misfire(grace_seconds: float) -> State[Any] | None:
    """The `Skipped` state to return when the current run starts more than `grace_seconds` late, else None.

    Only a run that the schedule created is judged, and only its first attempt: what a person starts, and what is
    retried, does its work however late it is. A flow called without a server run is never late.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    return misfire_of(context.flow_run, grace_seconds, now=datetime.now(UTC))


def misfire_of(flow_run: FlowRun, grace_seconds: float, *, now: datetime) -> State[Any] | None:
    """As `misfire`, for a given run at a given time."""
    if not flow_run.auto_scheduled or flow_run.run_count > 1 or flow_run.expected_start_time is None:
        return None
    late_seconds = (now - flow_run.expected_start_time).total_seconds()
    if late_seconds <= grace_seconds:
        return None
    return Completed(
        name=SKIPPED,
        message=f"Misfire: started {late_seconds:.0f} s late, more than the {grace_seconds:g} s allowed. "
        "The next run on time covers the gap.",
        data={"reason": "misfire", "late_seconds": round(late_seconds, 1)},
    )
