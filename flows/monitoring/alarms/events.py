"""Events on the Prefect server: for automations, the server's own second path among them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

import httpx
import structlog
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.events import Event

from flows.monitoring.alarms.messages import Notice
from flows.monitoring.paging import pages
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.vocabulary import JOB, JobEvent, Reason, Verdict

# What a job that becomes unhealthy emits; for any other reason it is that the job is overdue.
_EVENT_OF_REASON: dict[str | None, JobEvent] = {Reason.FAILING: JobEvent.FAILING, Reason.STUCK: JobEvent.STUCK}

logger = structlog.stdlib.get_logger()


def event_of(change: TransitionRow, notice: Notice | None, prefix: str) -> Event:
    """Make the event of one change of verdict. `prefix` is what subjects begin with."""
    return Event(
        id=uuid5(NAMESPACE_URL, f"vibecheck:transition:{change.id}:{change.noticed_at.isoformat()}"),
        occurred=change.noticed_at,  # pyright: ignore[reportArgumentType]  # any datetime will do
        event=_name_of(change),
        resource=_resource(change.job_name, change.to_status),  # pyright: ignore[reportArgumentType]  # pydantic makes it a Resource
        payload={
            "at": change.at.isoformat(),
            "from_status": change.from_status,
            "to_status": change.to_status,
            "reason": change.reason,
            "subject": f"{prefix}: {notice.headline}" if notice else None,
            "body": notice.text if notice else None,
            **change.details,
        },
    )


def _name_of(change: TransitionRow) -> JobEvent:
    if change.to_status == Verdict.UNHEALTHY:
        return _EVENT_OF_REASON.get(change.reason, JobEvent.OVERDUE)
    if change.to_status == Verdict.HEALTHY and change.from_status == Verdict.UNHEALTHY:
        return JobEvent.RECOVERED
    return JobEvent(f"{JOB}{change.to_status}")


def judged(job_name: str, job: JobReport, report: Report) -> Event:
    return Event(
        id=uuid5(NAMESPACE_URL, f"vibecheck:judged:{job_name}:{report.at.isoformat()}"),
        event=JobEvent.JUDGED,
        resource=_resource(job_name, job.judgement.verdict),  # pyright: ignore[reportArgumentType]  # pydantic makes it a Resource
        payload={"status": job.judgement.verdict, "reason": job.judgement.reason},
    )


def expected(job_name: str, at: datetime) -> Event:
    """Tell that the job is to work from then on, which may lie ahead: the server's timers start again then."""
    return Event(
        occurred=at,  # pyright: ignore[reportArgumentType]  # any datetime will do
        event=JobEvent.EXPECTED,
        resource={"prefect.resource.id": f"{JOB}{job_name}", "prefect.resource.name": job_name},  # pyright: ignore[reportArgumentType]  # as above
    )


def _resource(job_name: str, status: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"{JOB}{job_name}",
        "prefect.resource.name": job_name,
        "vibecheck.status": status,
    }


async def emit(client: PrefectClient, events: Sequence[Event]) -> None:
    """Hand events to the server, and know that it has them: `emit_event` would only put them into a queue."""
    for page in pages(events):
        try:
            await client.request("POST", "/events", json=[event.model_dump(mode="json") for event in page])
        except httpx.HTTPError as error:
            logger.warning("events_not_emitted", count=len(page), error_type=type(error).__name__)
