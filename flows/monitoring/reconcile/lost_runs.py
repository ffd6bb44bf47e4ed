"""Runs that cannot be alive any more, and that Prefect does not call ended: found, and ended, there and in the log.

The first path is the server's own automation on missing heartbeats. This one is the backstop, for the runs that it does
not see: those that never got as far as a heartbeat, or waited for their own retry, and those of servers without it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventRelatedFilter,
    EventResourceFilter,
)
from prefect.states import Cancelled, Crashed

from flows.monitoring.log.facts import fact_of
from flows.monitoring.log.record import Closing, Fact
from flows.monitoring.prefect_runs import JobRuns, unless_refused
from flows.monitoring.vocabulary import STATUS_FLOW, RowReason, Status, Writer

HEARTBEAT = "prefect.flow-run.heartbeat"
# Ending a run frees a slot of its deployment, also one that another run has got since. So a lost run is left alone
# while another of its deployment is going, but not for longer than this.
SLOT_WAIT = timedelta(hours=1)
# A run that never sent a heartbeat, of a deployment of which no run ever did, is given up only after this long: it may
# have heartbeats turned off. (If it lives after all, its end still counts, on the server and in the log.)
SILENT_WITHOUT_HEARTBEATS = timedelta(hours=1)

_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.SCHEDULED]

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Patience:
    """How long a run may be silent before it counts as lost, in seconds.

    `pending_seconds`: between being handed to a worker, or the time of a retry, and its start. `silent_seconds`:
    without a heartbeat, which is sent every 30 s (by our workers) to 180 s (Prefect's default); three of those must
    have failed to come.
    """

    pending_seconds: float = 300.0
    silent_seconds: float = 600.0


@dataclass(frozen=True)
class _Loss:
    run: FlowRun
    last_seen_at: datetime
    message: str
    frees_slot: bool = True


async def end_lost_runs(runs: JobRuns, now: datetime, patience: Patience) -> list[Fact]:
    """End every lost run of the jobs on the server, and return what the log should say.

    A pending or running run becomes Crashed, which frees its concurrency slot, and so does one that waited for its
    retry; one that was being cancelled becomes Cancelled. What the server refuses for one run is left to the next time.
    `now` is the server's clock. Raises httpx.HTTPError when the server cannot be asked.
    """
    active = [run for run in await runs.in_states(_ACTIVE) if _is_in_a_process(run)]
    losses = [
        loss
        for run in active
        if (loss := await unless_refused(_loss_of(runs.client, run, now, patience), flow_run_id=str(run.id)))
    ]
    lost_ids = {loss.run.id for loss in losses}
    in_use = {run.deployment_id for run in active if run.id not in lost_ids}
    facts: list[Fact] = []
    for loss in losses:
        job_name = runs.job_of(loss.run)
        # The status flow is always going while it looks, and two of it do no harm.
        is_slot_used = loss.frees_slot and loss.run.deployment_id in in_use and job_name != STATUS_FLOW
        if is_slot_used and now - loss.last_seen_at < SLOT_WAIT:
            logger.info("lost_run_waits_for_slot", flow_run_id=str(loss.run.id))
        elif fact := await unless_refused(_end(runs.client, loss, job_name), flow_run_id=str(loss.run.id)):
            logger.warning("lost_run_ended", flow_run_id=str(loss.run.id), explanation=loss.message)
            facts.append(fact)
    return facts


def _is_in_a_process(run: FlowRun) -> bool:
    """Whether the run is in somebody's hands. While a flow waits for its own retry, the server calls it Scheduled."""
    if run.state is None or run.state.type != StateType.SCHEDULED:
        return True
    return run.state.name == "AwaitingRetry" and run.empirical_policy.retry_type == "in_process"


async def _loss_of(client: PrefectClient, run: FlowRun, now: datetime, patience: Patience) -> _Loss | None:
    """Why `run` counts as lost, or None if it may be alive."""
    if run.state is None:
        return None
    state_age = now - run.state.timestamp
    silence = timedelta(seconds=patience.silent_seconds)
    if run.state.type == StateType.PENDING:
        if state_age <= timedelta(seconds=patience.pending_seconds):
            return None
        message = f"Lost: handed to a worker {_seconds(state_age)} ago, and it never started."
        return _Loss(run, run.state.timestamp, message)
    if run.state.type == StateType.SCHEDULED:
        # It sends no heartbeat meanwhile, and nothing else of the server's looks after it.
        overdue = now - (run.next_scheduled_start_time or run.state.timestamp)
        if overdue <= timedelta(seconds=patience.pending_seconds):
            return None
        message = f"Lost while waiting for its retry, which was due {_seconds(overdue)} ago."
        # Its slot comes free with its lease, which nobody has renewed since.
        return _Loss(run, run.state.timestamp, message, frees_slot=False)
    if state_age <= silence:
        return None
    heartbeat_at = await _last_event(
        client, run.state.timestamp, now, resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"])
    )
    if heartbeat_at is None and not await _sends_heartbeats(client, run, now):
        silence = SILENT_WITHOUT_HEARTBEATS
    last_seen_at = max(run.state.timestamp, heartbeat_at or run.state.timestamp)
    if now - last_seen_at <= silence:
        return None
    doing = "being cancelled" if run.state.type == StateType.CANCELLING else "running"
    return _Loss(run, last_seen_at, f"Lost while {doing}: no sign of life for {_seconds(now - last_seen_at)}.")


async def _end(client: PrefectClient, loss: _Loss, job_name: str) -> Fact | None:
    """End the run on the server. None if it has gone on in the meantime, or the server does not let it."""
    run = await client.read_flow_run(loss.run.id)
    if run.state is None or loss.run.state is None or run.state.id != loss.run.state.id:
        return None
    is_cancelling = run.state.type == StateType.CANCELLING
    final = (Cancelled if is_cancelling else Crashed)(message=loss.message)
    result = await client.set_flow_run_state(run.id, final)
    if result.status != SetStateStatus.ACCEPT or result.state is None:
        return None
    status = Status.CANCELLED if is_cancelling else Status.FAILURE
    details = {"reason": RowReason.LOST, "last_seen_at": loss.last_seen_at.isoformat()}
    return fact_of(run, job_name, Closing(status, result.state.timestamp, Writer.RECONCILER, loss.message, details))


async def _sends_heartbeats(client: PrefectClient, run: FlowRun, now: datetime) -> bool:
    """Whether any run of the same deployment ever sent a heartbeat, as far back as the server keeps events."""
    if run.deployment_id is None:
        return False
    deployment = EventRelatedFilter(id=[f"prefect.deployment.{run.deployment_id}"])
    return await _last_event(client, now - timedelta(days=7), now, related=deployment) is not None


async def _last_event(
    client: PrefectClient,
    since: datetime,
    now: datetime,
    *,
    resource: EventResourceFilter | None = None,
    related: EventRelatedFilter | None = None,
) -> datetime | None:
    occurred = EventOccurredFilter(
        since=since,  # pyright: ignore[reportArgumentType]  # pendulum's own type
        # The clocks of the senders may be ahead.
        until=now + timedelta(days=1),  # pyright: ignore[reportArgumentType]  # pendulum's own type
    )
    wanted = EventFilter(occurred=occurred, event=EventNameFilter(name=[HEARTBEAT]), resource=resource, related=related)
    page = await client.read_events(wanted, limit=1)
    return page.events[0].occurred if page.events else None


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"
