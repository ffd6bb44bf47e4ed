"""What a flow run tells the execution log. The one place that makes a fact out of a run."""

from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import FlowRun

from flows.monitoring.log.outcome import outcome_of
from flows.monitoring.log.record import Closing, Fact
from flows.monitoring.vocabulary import RowReason, Status, Writer


def fact_of(
    run: FlowRun,
    job_name: str,
    closing: Closing | None = None,
    *,
    attempt: int | None = None,
    started_at: datetime | None = None,
) -> Fact:
    """Say what is known of `run`, and how it ended where `closing` says so.

    `attempt` and `started_at` are the run's own unless given: a hook receives the run from before its start.
    """
    attempt = run.run_count if attempt is None else attempt
    started_at = started_at or (run.start_time if attempt else None) or run.expected_start_time
    return Fact(
        execution_id=run.id,
        job_name=job_name,
        scheduled_for=run.expected_start_time,
        attempt=attempt,
        started_at=started_at or (closing.completed_at if closing is not None else datetime.now(UTC)),
        closing=closing,
    )


def is_part_of_another(run: FlowRun) -> bool:
    """Return whether another flow called this one: it does not count as a run of the job, whose worker may be dead."""
    return run.deployment_id is None and run.parent_task_run_id is not None


def end_of(run: FlowRun, job_name: str) -> Fact | None:
    """Say, as the reconciler, what the server tells of a run that is over. None while the run is not over."""
    outcome = None if run.state is None else outcome_of(run.state, run_count=run.run_count)
    if run.state is None or outcome is None:
        return None
    ended_at = run.end_time or run.state.timestamp
    details: dict[str, Any] = dict(outcome.details)
    if details.get("reason") == RowReason.MISFIRE and run.expected_start_time is not None:
        details["late_seconds"] = round((ended_at - run.expected_start_time).total_seconds(), 1)
    if outcome.status == Status.SKIPPED and "reason" not in details:
        # The flow's own reason was in its result, which only its process could read; its message tells it in words.
        details["explanation"] = run.state.message
    return fact_of(run, job_name, Closing(outcome.status, ended_at, Writer.RECONCILER, outcome.error_message, details))
