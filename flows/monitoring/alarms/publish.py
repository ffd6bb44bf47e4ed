"""What the status flow tells the world: events, one message, and a table in Prefect's UI."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext
from prefect.events.schemas.events import Event
from prefect.settings import PREFECT_UI_URL
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.alarms.messages import Message, Notice, message_of, notice_of, reminder_of
from flows.monitoring.alarms.receivers import InvalidReceiver, NotDelivered, send
from flows.monitoring.jobs.registry import read_jobs
from flows.monitoring.verdicts.outages import outage_began
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.stored import (
    TransitionRow,
    VerdictRow,
    mark_sent,
    note_notified,
    read_verdicts,
    unsent_transitions,
)
from flows.monitoring.verdicts.wording import clock, explain_all, explain_job
from flows.monitoring.vocabulary import STATUS_FLOW, Reason, Verdict
from flows.settings import MonitoringSettings

ARTIFACT_KEY = "pipeline-status"
# More changes than that at once are told in the next message.
MOST_CHANGES = 200

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Published:
    """The message, if there was one to send. `is_told` is False if there is trouble that nobody could be told of."""

    message: Message | None
    is_told: bool


async def publish(
    client: PrefectClient, engine: AsyncEngine, settings: MonitoringSettings, report: Report
) -> Published:
    """Tell what `judge` has changed, and what is due for a reminder. Safe to repeat.

    1. Read the untold changes of verdict, and the jobs whose last message is a reminder's interval ago.
    2. Emit an event for each change. Its id is the change's own, so that a repeated one is one.
    3. Send one message for all. Only when the receiver has taken it are the changes told; else the next status flow
       tries again. Without a receiver there is nobody to tell.
    4. Say that each job has been judged: unless there was something to tell and it could not be delivered, in which
       case the server's own second path goes off.
    5. Put the report into Prefect's UI.

    Raises DatabaseUnavailable; what concerns the receiver or Prefect is logged and tried again by the next run.
    """
    changes, verdicts, notices, links = await _read(engine, settings, report)
    # Of a job that was retired meanwhile nobody wants to hear.
    current = [change for change in changes if change.job_name in verdicts]
    await _emit(client, [_event_of(change, notices.get(change.job_name)) for change in current])
    message = message_of(list(notices.values()), report, links) if notices else None
    delivered = message is None or await _deliver(settings, message)
    if delivered:
        async with engine.begin() as connection:
            for change in changes:
                await mark_sent(connection, change.id)
            for job_name in notices:
                await note_notified(connection, job_name)
    untold = set[str]() if delivered else {*notices, STATUS_FLOW}
    await _emit(client, [_judged(name, job, report) for name, job in report.jobs.items() if name not in untold])
    await _show(client, report)
    is_unhealthy = any(verdict.status == Verdict.UNHEALTHY for verdict in verdicts.values())
    return Published(message, is_told=delivered and not (is_unhealthy and settings.notification is None))


async def _read(
    engine: AsyncEngine, settings: MonitoringSettings, report: Report
) -> tuple[Sequence[TransitionRow], Mapping[str, VerdictRow], dict[str, Notice], dict[str, str]]:
    async with reading(engine) as connection:
        changes = await unsent_transitions(connection, MOST_CHANGES)
        verdicts = await read_verdicts(connection)
        ui_url = (PREFECT_UI_URL.value() or "").rstrip("/")
        links = {
            name: f"{ui_url}/deployments/deployment/{job.deployment_id}"
            for name, job in (await read_jobs(connection)).items()
            if job.deployment_id is not None and ui_url
        }
        notices: dict[str, Notice] = {}
        for name, verdict in verdicts.items():
            own = [change for change in changes if change.job_name == name]
            notice = notice_of(own, report.at) if own else None
            if notice is None and _is_reminder_due(verdict, settings, report.at) and name in report.jobs:
                began = await outage_began(connection, name) or verdict.status_since
                notice = reminder_of(verdict, began, explain_job(report.jobs[name], report.at), report.at)
            if notice is not None:
                notices[name] = notice
    return changes, verdicts, notices, links


def _is_reminder_due(verdict: VerdictRow, settings: MonitoringSettings, now: datetime) -> bool:
    return (
        verdict.status == Verdict.UNHEALTHY
        and verdict.last_notified_at is not None
        and now >= verdict.last_notified_at + timedelta(seconds=settings.reminder_seconds)
    )


async def _deliver(settings: MonitoringSettings, message: Message) -> bool:
    if settings.notification is None:
        logger.warning("nobody_to_notify", subject=message.subject, explanation="VIBECHECK_NOTIFICATION is not set.")
        return True
    try:
        await send(settings, subject=message.subject, body=message.body)
    except (NotDelivered, InvalidReceiver) as error:
        logger.error(  # noqa: TRY400  # the traceback would show the receiver's address
            "notification_not_delivered", subject=message.subject, error=str(error), explanation="It is tried again."
        )
        return False
    logger.info("notification_delivered", subject=message.subject)
    return True


def _event_of(change: TransitionRow, notice: Notice | None) -> Event:
    """The event of one change of verdict."""
    if change.to_status == Verdict.UNHEALTHY:
        kind = change.reason if change.reason in (Reason.FAILING, Reason.STUCK) else Reason.OVERDUE
    else:
        kind = (
            "recovered"
            if change.from_status == Verdict.UNHEALTHY and change.to_status == Verdict.HEALTHY
            else change.to_status
        )
    return Event(
        id=uuid5(NAMESPACE_URL, f"vibecheck:transition:{change.id}:{change.noticed_at.isoformat()}"),
        occurred=change.noticed_at,  # pyright: ignore[reportArgumentType]  # any datetime will do
        event=f"vibecheck.job.{kind}",
        resource=_resource(change.job_name, change.to_status),  # pyright: ignore[reportArgumentType]
        payload={
            "at": change.at.isoformat(),
            "from_status": change.from_status,
            "to_status": change.to_status,
            "reason": change.reason,
            "subject": f"VibeCheck: {notice.headline}" if notice else None,
            "body": notice.text if notice else None,
            **change.details,
        },
    )


def _judged(job_name: str, job: JobReport, report: Report) -> Event:
    return Event(
        id=uuid5(NAMESPACE_URL, f"vibecheck:judged:{job_name}:{report.at.isoformat()}"),
        event="vibecheck.job.judged",
        resource=_resource(job_name, job.judgement.verdict),  # pyright: ignore[reportArgumentType]
        payload={"status": job.judgement.verdict, "reason": job.judgement.reason},
    )


def _resource(job_name: str, status: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"vibecheck.job.{job_name}",
        "prefect.resource.name": job_name,
        "vibecheck.status": status,
    }


async def _emit(client: PrefectClient, events: Sequence[Event]) -> None:
    """Hand events to the server, and know that it has them: `emit_event` would only put them into a queue."""
    if not events:
        return
    try:
        await client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
    except httpx.HTTPError as error:
        logger.warning("events_not_emitted", count=len(events), error_type=type(error).__name__)


async def _show(client: PrefectClient, report: Report) -> None:
    """Put the report into Prefect's UI as a table, under a headline that is its summary."""
    rows: list[dict[str, Any]] = [
        {
            "job": name,
            "verdict": _in_short(job),
            "last run": "" if job.facts.last_run is None else clock(job.facts.last_run, report.at),
            "last success": "" if job.facts.last_success is None else clock(job.facts.last_success, report.at),
            "next run": "" if job.next_tick is None else clock(job.next_tick, report.at),
            # The widest column, and the UI cuts at the right.
            "explanation": explain_job(job, report.at),
        }
        for name, job in report.jobs.items()
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
        await client.create_artifact(artifact)
    except httpx.HTTPError as error:
        logger.warning("artifact_not_created", error_type=type(error).__name__)


def _in_short(job: JobReport) -> str:
    verdict = job.judgement.reason or job.judgement.verdict
    return ", ".join((verdict, *job.judgement.warnings)).replace("_", " ")
