"""The status flow: what the log cannot know by itself is filled in, every job is judged, and changes are told.

It runs on a work pool of its own, apart from the workers that it watches.
"""

from typing import Any
from uuid import UUID

import structlog
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as runtime_flow_run
from prefect.states import Completed

from flows.database.engine import opened_engine
from flows.logs import bind_run, configure_logging
from flows.monitoring import MisfireGrace, misfire, monitored, run_name
from flows.monitoring.alarms.audience import Audience, explain_audience
from flows.monitoring.alarms.ping import watched_from_outside
from flows.monitoring.alarms.publish import publish
from flows.monitoring.reconcile.repair import repair
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.wording import explain_all
from flows.monitoring.vocabulary import STATUS_FLOW
from flows.settings import MonitoringSettings

logger = structlog.stdlib.get_logger()


@monitored
@flow(name=STATUS_FLOW, flow_run_name=run_name, timeout_seconds=240)
async def pipeline_status(
    misfire_grace_seconds: MisfireGrace = 60,
) -> State[Any]:
    """Compare the log with Prefect, repair it, judge every monitored job, and report what has changed.

    Its state names the result, so that `prefect flow-run ls` is enough to see it: `Healthy` or `Unhealthy`.

    Args:
        misfire_grace_seconds: A scheduled run that starts later than this does no work; the next one does. One that no
            worker has taken after 60 s is cancelled in any case.
    """
    if skipped := await misfire(misfire_grace_seconds):
        return skipped
    settings = MonitoringSettings()
    configure_logging(settings)
    run_id = runtime_flow_run.id
    if run_id is not None:
        bind_run(UUID(run_id), STATUS_FLOW)
    async with (
        watched_from_outside(settings, UUID(run_id) if run_id else None) as watch,
        opened_engine(settings) as engine,
        get_client() as client,
    ):
        repaired = await repair(client, engine, settings)
        report = await judge(engine, settings, repaired.absent)
        published = await publish(client, engine, settings, report)
        details = {
            "status": report.overall.verdict,
            "unhealthy_jobs": list(report.overall.unhealthy_jobs),
            "repaired": repaired.repaired,
            "lost": repaired.lost,
            "missed": repaired.missed,
            "deleted": repaired.deleted,
        }
        state = state_of(report, details, published.audience)
        watch.summary = str(state.message)
        watch.is_trouble = not published.is_told
        repaired.raise_failures()
    logger.info("status_finished", summary=state.message, **details)
    return state


def state_of(report: Report, details: dict[str, Any], audience: Audience) -> State[Any]:
    """Return the run's final state: its name is the verdict on the whole, so that a list of runs is enough to see it.

    Its message also says who cannot be told, and what is silenced.
    """
    summary = " ".join(filter(None, [explain_all(report), explain_audience(audience, report.at)]))
    return Completed(name=report.overall.verdict.capitalize(), message=summary, data=details)
