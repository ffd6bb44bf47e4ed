"""The backstop for late runs: a run that its schedule started too late does no work and says so."""

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed
from pydantic import Field

from flows.monitoring.log.outcome import SKIPPED
from flows.monitoring.vocabulary import RowReason

MisfireGrace = Annotated[int, Field(ge=1)]
"""The parameter of a flow that `misfire` guards, in seconds. Prefect reads its description in the flow's docstring."""


async def misfire(grace_seconds: float) -> State[Any] | None:
    """Return the `Skipped` state to return when the current run starts more than `grace_seconds` late, else None.

    Only a run that the schedule created is judged, and only its first attempt: what a person starts, puts off or
    retries, and what is retried by itself, does its work however late it is. A flow called without a server run is
    never late. Raises httpx.HTTPError when a late run's history cannot be read.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    # The server's time, as the schedule's is: by a clock here that is minutes ahead, every run would be late.
    now = context.flow_run.start_time or datetime.now(UTC)
    skipped = misfire_of(context.flow_run, grace_seconds, now=now)
    if skipped is not None and await _was_put_off(context.flow_run):
        return None
    return skipped


def misfire_of(flow_run: FlowRun, grace_seconds: float, *, now: datetime) -> State[Any] | None:
    """Do as `misfire`, for a given run at a given time, of which only the schedule has said when it is wanted."""
    if not flow_run.auto_scheduled or flow_run.run_count > 1 or flow_run.expected_start_time is None:
        return None
    late_seconds = (now - flow_run.expected_start_time).total_seconds()
    if late_seconds <= grace_seconds:
        return None
    return Completed(
        name=SKIPPED,
        message=f"Misfire: started {late_seconds:.0f} s late, more than the {grace_seconds:g} s allowed. "
        "The next run on time covers the gap.",
        # A plain string: whoever reads the stored result may not have this module.
        data={"reason": RowReason.MISFIRE.value, "late_seconds": round(late_seconds, 1)},
    )


async def _was_put_off(flow_run: FlowRun) -> bool:
    """Whether the run was scheduled for another time than its tick's: a person has retried it, or put it off.

    Its states tell, and nothing else: `expected_start_time` never moves, and a run that was refused or swept has not
    counted as started.
    """
    async with get_client() as client:
        states = await client.read_flow_run_states(flow_run.id)
    wanted = (state.state_details.scheduled_time for state in states if state.is_scheduled())
    return any(at != flow_run.expected_start_time for at in wanted if at is not None)
