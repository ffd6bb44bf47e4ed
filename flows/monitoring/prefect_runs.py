"""What Prefect's server knows of the jobs' flow runs, read in pages, and what a run's final state says for the log.

A job's runs are those of its flow, of whichever deployment or of none: what counts is whose row they have.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.monitoring.log.outcome import outcome_of
from flows.monitoring.log.record import Closing, Fact
from flows.monitoring.vocabulary import Status

# The server gives no more in one answer.
PAGE = 200
TERMINAL = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]


async def server_now(client: PrefectClient) -> datetime:
    """The server's clock, to the second: the one that sets the times of states, and plans the ticks."""
    # Any question would do; this is one that Prefect Cloud answers as well.
    date = (await client.request("POST", "/flows/count", json={})).headers.get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)


async def flow_names(client: PrefectClient, flows_wanted: FlowFilter) -> dict[UUID, str]:
    """The names of flows by their ids."""
    names: dict[UUID, str] = {}
    while flows := await client.read_flows(flow_filter=flows_wanted, limit=PAGE, offset=len(names)):
        names.update({flow.id: flow.name for flow in flows})
    return names


async def runs_in(client: PrefectClient, job_names: Collection[str], types: Iterable[StateType]) -> list[FlowRun]:
    """The jobs' runs whose state is of one of `types`."""
    return await _read(client, job_names, FlowRunFilter(state=_in(types)))


async def runs_overdue(client: PrefectClient, job_names: Collection[str], due_before: datetime) -> list[FlowRun]:
    """The jobs' runs that were to start before `due_before`, and that no worker has taken."""
    due = FlowRunFilterExpectedStartTime(before_=due_before)  # pyright: ignore[reportArgumentType]  # pendulum
    return await _read(client, job_names, FlowRunFilter(state=_in([StateType.SCHEDULED]), expected_start_time=due))


async def runs_due(client: PrefectClient, job_names: Collection[str], start: datetime, end: datetime) -> list[FlowRun]:
    """The jobs' runs that were to start from `start` to `end`, whatever became of them."""
    due = FlowRunFilterExpectedStartTime(after_=start, before_=end)  # pyright: ignore[reportArgumentType]  # pendulum
    return await _read(client, job_names, FlowRunFilter(expected_start_time=due))


async def runs_ended(
    client: PrefectClient, job_names: Collection[str], start: datetime, end: datetime
) -> list[FlowRun]:
    """The jobs' runs that came to an end from `start` to `end`."""
    return await _read(client, job_names, _ended(start, end))


async def count_ended(client: PrefectClient, job_names: Collection[str], start: datetime, end: datetime) -> int:
    """How many runs `runs_ended` would give."""
    return await client.count_flow_runs(flow_filter=of_jobs(job_names), flow_run_filter=_ended(start, end))


async def runs_with_ids(client: PrefectClient, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    """Those of the runs that the server still has."""
    found: dict[UUID, FlowRun] = {}
    for start in range(0, len(ids), PAGE):
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(ids[start : start + PAGE])))
        found.update({run.id: run for run in await client.read_flow_runs(flow_run_filter=wanted, limit=PAGE)})
    return found


def fact_of(run: FlowRun, job_name: str) -> Fact | None:
    """What the server says about a run that is over, as the reconciler's word. None while the run is not over."""
    outcome = None if run.state is None else outcome_of(run.state, run_count=run.run_count)
    if run.state is None or outcome is None:
        return None
    ended_at = run.end_time or run.state.timestamp
    details: dict[str, Any] = dict(outcome.details)
    if details.get("reason") == "misfire" and run.expected_start_time is not None:
        details["late_seconds"] = round((ended_at - run.expected_start_time).total_seconds(), 1)
    if outcome.status == Status.SKIPPED and "reason" not in details:
        # The flow's own reason was in its result, which only its process could read; its message tells it in words.
        details["explanation"] = run.state.message
    return closed(
        run,
        job_name,
        status=outcome.status,
        completed_at=ended_at,
        error_message=outcome.error_message,
        details=details,
    )


def closed(
    run: FlowRun,
    job_name: str,
    *,
    status: str,
    completed_at: datetime,
    error_message: str | None,
    details: dict[str, Any],
) -> Fact:
    """The reconciler's word that `run` ended with `status`."""
    started_at = run.start_time if run.run_count else run.expected_start_time
    return Fact(
        execution_id=run.id,
        job_name=job_name,
        scheduled_for=run.expected_start_time,
        attempt=run.run_count,
        started_at=started_at or run.expected_start_time or completed_at,
        closing=Closing(status, completed_at, "reconciler", error_message, details),
    )


async def _read(client: PrefectClient, job_names: Collection[str], run_filter: FlowRunFilter) -> list[FlowRun]:
    found: dict[UUID, FlowRun] = {}
    offset = 0
    while page := await client.read_flow_runs(
        flow_filter=of_jobs(job_names),
        flow_run_filter=run_filter,
        # Newest first: a run that appears meanwhile moves others to where they are read twice, and none out of sight.
        sort=FlowRunSort.ID_DESC,
        limit=PAGE,
        offset=offset,
    ):
        found.update({run.id: run for run in page})
        offset += len(page)
        if len(page) < PAGE:
            break
    return list(found.values())


def of_jobs(job_names: Collection[str]) -> FlowFilter:
    """The jobs' flows."""
    return FlowFilter(name=FlowFilterName(any_=sorted(job_names)))


def _in(types: Iterable[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def _ended(start: datetime, end: datetime) -> FlowRunFilter:
    end_time = FlowRunFilterEndTime(after_=start, before_=end)  # pyright: ignore[reportArgumentType]  # pendulum
    return FlowRunFilter(state=_in(TERMINAL), end_time=end_time)
