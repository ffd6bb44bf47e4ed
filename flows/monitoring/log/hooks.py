"""The state hooks that open and close a run's row in the execution log. `@monitored` puts them on a flow.

What a hook may rely on was measured, and is less than it seems: the flow run that it receives is stale (no end time, in
some processes no start time), after a SIGKILL it runs in a process of its own that knows neither context nor result,
and nothing but the hook itself bounds its time. So each hook takes its facts from the state, opens a connection of its
own, gives up within 5 seconds and never raises: the reconciler fills in what a hook could not write.
"""

import asyncio
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import engine_from_settings
from flows.database.types import clean_json
from flows.logs import attach_handlers, bind_run, own_logger
from flows.monitoring.log.facts import fact_of, is_part_of_another
from flows.monitoring.log.merge import LONGEST_ERROR, bounded
from flows.monitoring.log.naming import job_name_of
from flows.monitoring.log.outcome import outcome_of
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.rows import job_of_deployment
from flows.monitoring.prefect_answers import reading_answers
from flows.monitoring.vocabulary import JOB, JobEvent, Status, Writer
from flows.settings import MonitoringSettings

# A statement that hangs takes 2 s more to be cut off: the driver waits for its connection to close.
HOOK_SECONDS = 3.0

_engines: dict[tuple[str | None, str], AsyncEngine] = {}

P = ParamSpec("P")
R = TypeVar("R")

logger = own_logger()


def monitored(flow: Flow[P, R]) -> Flow[P, R]:
    """Give `flow` the hooks that keep its rows in `scheduler_execution_log`."""
    flow.on_running(record_running)
    for register in (flow.on_completion, flow.on_failure, flow.on_crashed, flow.on_cancellation):
        register(record_end)
    return flow


async def record_running(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Open the run's row, or count a further attempt in it."""
    if is_part_of_another(flow_run):
        return
    # The run is the one from before this attempt: its count lacks the attempt that begins now.
    await _write(fact_of(flow_run, flow.name, started_at=state.timestamp, attempt=flow_run.run_count + 1), flow_run)


async def record_end(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Close the run's row with what `state` says, and tell the server's timers that the job has finished."""
    outcome = outcome_of(state, run_count=None)
    if outcome is None or is_part_of_another(flow_run):
        return
    details = {**outcome.details, **await _returned(state)}
    closing = Closing(
        status=outcome.status,
        completed_at=state.timestamp,
        closed_by=Writer.HOOK,
        error_message=outcome.error_message,
        details=details,
    )
    # A process that only saw the run from before its start (after a SIGKILL) knows no start: 0 gives way to any other.
    attempt = max(flow_run.run_count, 1) if flow_run.start_time else 0
    job_name = await _write(fact_of(flow_run, flow.name, closing, attempt=attempt), flow_run)
    # An event of our own: Prefect's flow-run events can be held back for a quarter of an hour by causal ordering.
    emit_event(
        event=JobEvent.SKIPPED if outcome.status == Status.SKIPPED else JobEvent.FINISHED,
        resource={"prefect.resource.id": f"{JOB}{job_name}", "vibecheck.status": outcome.status},
        payload={"execution_id": str(flow_run.id), "status": outcome.status, "error": closing.error_message},
    )


async def _returned(state: State[Any]) -> dict[str, Any]:
    """What the flow returned where that is a dictionary, such as its statistics, as far as a row keeps it."""
    if not state.is_completed():
        return {}  # only a completed state's result is cheap and safe to ask for
    try:
        result: Any = await state.aresult(raise_on_failure=False)
        return bounded(clean_json(result)) if isinstance(result, dict) else {}  # pyright: ignore[reportUnknownArgumentType]  # any dictionary
    except Exception as error:  # noqa: BLE001  # foreign data: unreadable, endless, or with a __str__ that raises
        logger.warning("result_not_kept", error_type=type(error).__name__, error=str(error)[:LONGEST_ERROR])
        return {}


async def _write(fact: Fact, flow_run: FlowRun) -> str:
    """Record `fact`, which bears the flow's name, under the job's name: within the bound, or log why not.

    Return the job's name, or the flow's where it could not be found out: the reconciler puts it right in the row.
    """
    settings = MonitoringSettings()
    attach_handlers(settings)
    bind_run(fact.execution_id, fact.job_name)
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            if not settings.has_database():
                logger.warning(
                    "execution_log_not_configured",
                    explanation="VIBECHECK_DATABASE_URL is not set here: this run's row comes from the status flow, "
                    "within 5 minutes and without what the flow returned. Set it in the environment of the worker.",
                )
                return await _name_in_prefect(fact.job_name, flow_run.deployment_id)
            engine = await _engine(settings)
            async with engine.begin() as connection:
                if (known := await _known_name(connection, fact.job_name, flow_run.deployment_id)) is not None:
                    fact = replace(fact, job_name=known)
                    bind_run(fact.execution_id, fact.job_name)
                    await record(connection, fact)
                    return fact.job_name
            # Outside of any transaction: a server that is slow must not hold a lock.
            fact = replace(fact, job_name=await _name_in_prefect(fact.job_name, flow_run.deployment_id))
            bind_run(fact.execution_id, fact.job_name)
            async with engine.begin() as connection:
                await record(connection, fact)
    except Exception as error:  # noqa: BLE001  # a hook must never disturb its flow; the reconciler writes the row
        logger.warning("execution_log_write_failed", error_type=type(error).__name__, error=str(error))
    return fact.job_name


async def _engine(settings: MonitoringSettings) -> AsyncEngine:
    """An engine for all hooks of this process, without connections that it keeps while the flow works.

    What it has asked of the server, and the statements that it has compiled, need not be asked and compiled again.
    """
    key = (settings.database_block, settings.effective_database_url())
    if key not in _engines:
        _engines[key] = await engine_from_settings(settings, keep_connections=False)
    return _engines[key]


async def _known_name(connection: AsyncConnection, flow: str, deployment_id: UUID | None) -> str | None:
    return flow if deployment_id is None else await job_of_deployment(connection, deployment_id)


async def _name_in_prefect(flow: str, deployment_id: UUID | None) -> str:
    if deployment_id is None:
        return flow
    try:
        with reading_answers():
            async with get_client() as client:
                return job_name_of(flow, (await client.read_deployment(deployment_id)).name)
    except (httpx.HTTPError, PrefectException):
        return flow  # deleted meanwhile, or the server is away, or its answer cannot be read
