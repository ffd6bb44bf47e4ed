"""Runs that no worker started in time: cancelled, so that a worker that returns does not execute them one by one.

The first path is the server's own automation, within seconds. This one is the backstop: after a deployment or a restart
of the server, Prefect holds back the events that the automation waits for, for up to a quarter of an hour (#5).
"""

from datetime import datetime, timedelta
from time import monotonic

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows.monitoring.log.facts import end_of
from flows.monitoring.log.outcome import MISSED
from flows.monitoring.log.record import Fact
from flows.monitoring.prefect_runs import JobRuns, unless_refused

# As the server has it, and the misfire guard by default.
LATE_AFTER = timedelta(seconds=60)
# Of the states of type Scheduled, those of a run that waits for a worker, and not for a retry or for a slot.
WAITING = ("Scheduled", "Late")
# What takes longer is left to the next status flow. Each run costs two requests: 200 runs took a server on SQLite 80 s,
# as it was marking them as late meanwhile.
LONGEST_SECONDS = 30.0
MESSAGE = "No worker started this run in time. The next run on time covers the gap."

logger = structlog.stdlib.get_logger()


async def sweep_late_runs(runs: JobRuns, now: datetime, *, late_after: timedelta = LATE_AFTER) -> list[Fact]:
    """Cancel, as `Missed`, what the jobs' schedules wanted `late_after` ago. Return what the log should say.

    What a person asked for, retries or has put off waits as long as it takes. What the server refuses is left to the
    next time, and so is what has not been begun after LONGEST_SECONDS. `now` is the server's clock. Raises
    httpx.HTTPError when the server cannot be asked.
    """
    began = monotonic()
    overdue = await runs.overdue(now - late_after)
    facts: list[Fact] = []
    for run in filter(_is_late, overdue):
        ended = await unless_refused(_cancel(runs.client, run), flow_run_id=str(run.id))
        if ended is not None and (fact := end_of(ended, runs.job_of(run))) is not None:
            logger.info("late_run_missed", flow_run_id=str(run.id), scheduled_for=str(run.expected_start_time))
            facts.append(fact)
        if monotonic() - began > LONGEST_SECONDS:
            break
    return facts


def _is_late(run: FlowRun) -> bool:
    """Whether an overdue run has never started, and only the schedule wants it: a person would have moved its time."""
    is_waiting = run.state is not None and run.state.name in WAITING and not run.run_count
    return run.auto_scheduled and is_waiting and run.next_scheduled_start_time == run.expected_start_time


async def _cancel(client: PrefectClient, run: FlowRun) -> FlowRun | None:
    """The run as it ended; None if it is gone, or a worker has taken it: then its own guard sees that it is late."""
    try:
        current = await client.read_flow_run(run.id)
        if current.state is None or current.state.name not in WAITING:
            return None
        result = await client.set_flow_run_state(run.id, Cancelled(name=MISSED, message=MESSAGE))
    except ObjectNotFound:
        return None
    if result.status != SetStateStatus.ACCEPT or result.state is None:
        return None
    return current.model_copy(update={"state": result.state, "end_time": result.state.timestamp})
