"""What was changed of a job's deployment, and by whom, as far as Prefect's events tell.

Measured with Prefect 3.9.1: a server of one's own notes what was changed and never who did it; pausing and a change of
the schedule alone leave no event (those are in `schedule_history`); and events are kept for a week.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.events.schemas.events import Event

_EVENTS = {f"prefect.deployment.{what}": what for what in ("created", "updated", "deleted")}
# The newest ones. The server gives no more in one answer, and nobody reads more.
MOST_EDITS = 50


@dataclass(frozen=True)
class Edit:
    """Somebody created, updated or deleted a deployment."""

    at: datetime
    what: str
    """Which fields, never what is in them: parameters and variables may hold passwords."""
    who: str | None
    """As Prefect calls the person or account; None where it does not say."""


async def read_edits(client: PrefectClient, deployment_ids: Collection[UUID], since: datetime) -> list[Edit]:
    """Read the newest edits of these deployments since then. Raises httpx.HTTPError."""
    wanted = EventFilter(
        event=EventNameFilter(name=list(_EVENTS)),
        resource=EventResourceFilter(id=[f"prefect.deployment.{id_}" for id_ in deployment_ids]),
        occurred=EventOccurredFilter(since=since),  # pyright: ignore[reportArgumentType]  # pendulum's own type
    )
    return [_edit(event) for event in (await client.read_events(wanted, limit=MOST_EDITS)).events]


def _edit(event: Event) -> Edit:
    payload: dict[str, Any] = event.payload
    given: object = payload.get("updated_fields")
    fields = [str(each) for each in cast("list[object]", given)] if isinstance(given, list) else []
    actors = [related.name or related.id for related in event.related if related.role == "actor"]
    return Edit(
        at=event.occurred,
        what=f"deployment {_EVENTS.get(event.event, event.event)}" + (f": {', '.join(fields)}" if fields else ""),
        who=", ".join(actors) or None,
    )
