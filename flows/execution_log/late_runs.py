"""Runs that no worker started in time: cancelled, so that a worker that returns does not execute them one by one.

The first path is the server's own automation, within seconds. This one is the backstop: after a deployment or a restart
of the server, Prefect holds back the events that the automation waits for, for up to a quarter of an hour (#5).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelled

from flows.execution_log.flow_runs import fact_of, runs_overdue
from flows.execution_log.outcome import MISSED
from flows.execution_log.record import Fact

# As the server and the misfire guard have it.
LATE_AFTER = timedelta(seconds=60)
MESSAGE = "No worker started this run in time. The next run on time covers the gap."

logger = structlog.stdlib.get_logger()


async def sweep_late_runs(client: PrefectClient, jobs: Mapping[UUID, str], now: datetime) -> list[Fact]:
    """Cancel, as `Missed`, what the schedules of the flows in `jobs` (names by flow id) wanted a minute ago or earlier.

    What a person asked for waits as long as it takes, and so does a retry. `now` is the server's clock. Gives what the
    log should say. Raises httpx.HTTPError when the server cannot be asked.
    """
    facts: list[Fact] = []
    for run in await runs_overdue(client, set(jobs.values()), now - LATE_AFTER):
        if not run.auto_scheduled or run.run_count:
            continue
        if not await _is_untaken(client, run.id):
            continue
        result = await client.set_flow_run_state(run.id, Cancelled(name=MISSED, message=MESSAGE))
        if result.status != SetStateStatus.ACCEPT or result.state is None:
            continue
        logger.info("late_run_missed", flow_run_id=str(run.id), scheduled_for=str(run.expected_start_time))
        ended = run.model_copy(update={"state": result.state, "end_time": result.state.timestamp})
        if (fact := fact_of(ended, jobs[run.flow_id])) is not None:
            facts.append(fact)
    return facts


async def _is_untaken(client: PrefectClient, run_id: UUID) -> bool:
    """Whether no worker has taken the run meanwhile. One that does so from here on finds it cancelled, or too late."""
    run = await client.read_flow_run(run_id)
    return run.state is not None and run.state.type == StateType.SCHEDULED
