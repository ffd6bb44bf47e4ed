"""The report as a table in Prefect's UI."""

import json
from typing import Any

import httpx
import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext

from flows.monitoring.paging import PAGE
from flows.monitoring.prefect_answers import UnexpectedAnswer, reading_answers
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.wording import clock, explain_all, explain_job

ARTIFACT_KEY = "pipeline-status"

logger = structlog.stdlib.get_logger()


async def show(client: PrefectClient, report: Report) -> None:
    """Put the report into Prefect's UI as a table, under a headline that is its summary. Of many jobs, the worst."""
    rows: list[dict[str, Any]] = [
        {
            "job": job.expected.name,
            "verdict": _in_short(job),
            "last run": "" if job.facts.last_run is None else clock(job.facts.last_run, report.at),
            "last success": "" if job.facts.last_success is None else clock(job.facts.last_success, report.at),
            "next run": "" if job.next_tick is None else clock(job.next_tick, report.at),
            # The widest column, and the UI cuts at the right.
            "explanation": explain_job(job, report.at),
        }
        for job in report.by_concern()[:PAGE]
    ]
    context = FlowRunContext.get()
    artifact = ArtifactCreate(
        key=ARTIFACT_KEY,
        type="table",
        data=json.dumps(rows),
        description=explain_all(report),
        flow_run_id=context.flow_run.id if context is not None and context.flow_run is not None else None,
    )
    try:
        with reading_answers():
            await client.create_artifact(artifact)
    except (httpx.HTTPError, UnexpectedAnswer) as error:
        logger.warning("artifact_not_created", error_type=type(error).__name__)


def _in_short(job: JobReport) -> str:
    verdict = job.judgement.reason or job.judgement.verdict
    return ", ".join((verdict, *job.judgement.warnings)).replace("_", " ")
