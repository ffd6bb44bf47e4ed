"""The Prefect server's automations, brought to what automations.yaml and the monitored deployments ask for.

Prefect has no idempotent way to do so: names are not unique, creating twice makes two, and writing one that has not
changed restarts its timer. So:

1. Read the monitored deployments, and expand the file: one automation for each job, heartbeat or installation.
2. Read the automations that carry our mark, which a user's own never do.
3. Compare each pair in a canonical form, without identifiers and without `enabled`, which is the operator's.
4. Create what is missing, write what differs, delete duplicates and what is no longer wanted.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore

from deployments.server.expansion import expand, load, scheduled_jobs
from deployments.server.notifications import receiver_block
from flows.monitoring.alarms.events import emit, expected
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.vocabulary import OWNER, STATUS_FLOW
from flows.settings import Settings

# The server answers before it has loaded what was written, and nothing tells when it has. Once, 27 ms were too few.
LOADING_SECONDS = 1.0

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Changes:
    """The names of the automations that were created, updated and deleted, and of those that were right already."""

    created: Sequence[str]
    updated: Sequence[str]
    deleted: Sequence[str]
    unchanged: Sequence[str]


async def apply_automations(client: PrefectClient, settings: Settings) -> Changes:
    """Bring the server's automations to what is wanted, and say what was changed. Applying again changes nothing.

    Without a receiver for notifications, those that would send one are left out, and a warning tells how to set one.
    Raises InvalidReceiver if the configured receiver cannot be used.
    """
    now = await server_now(client)
    live = await read_live_jobs(client, now)
    block_id = await receiver_block(client, settings)
    wanted = wanted_automations(live, now, settings, block_id)
    changes = await _write(client, wanted, await client.read_resource_related_automations(OWNER))
    if changes.created or changes.updated:
        # One that was written waits for a sign of the status flow before it tells anybody: this is the first.
        await asyncio.sleep(LOADING_SECONDS)
        await emit(client, [expected(STATUS_FLOW, now)])
    logger.info(
        "automations_applied",
        **{name: list(getattr(changes, name)) for name in ("created", "updated", "deleted")},
        unchanged=len(changes.unchanged),
    )
    return changes


def wanted_automations(
    live: Sequence[LiveJob], now: datetime, settings: Settings, block_id: UUID | None
) -> list[AutomationCore]:
    """Return what the file asks for, for these jobs and settings; messages go through the block, where there is one."""
    return expand(
        load(),
        scheduled_jobs(live, now),
        live,
        block_id,
        reminder_seconds=settings.reminder_seconds,
        installation=settings.installation_name(),
    )


def canonical(automation: AutomationCore) -> str:
    """Return what two automations that do the same have in common, whatever the order of their lists."""
    return json.dumps(
        _sorted(automation.model_dump(mode="json", exclude={"id", "enabled", "owner_resource"})), sort_keys=True
    )


async def _write(client: PrefectClient, wanted: Sequence[AutomationCore], existing: Iterable[Automation]) -> Changes:
    created, updated, deleted, unchanged = list[str](), list[str](), list[str](), list[str]()
    by_name: dict[str, list[Automation]] = {}
    for automation in existing:
        by_name.setdefault(automation.name, []).append(automation)
    for automation in wanted:
        # Of duplicates (two applies at once) the one that is right is kept, as its timer is running.
        same = sorted(by_name.pop(automation.name, []), key=lambda one: canonical(one) != canonical(automation))
        for duplicate in same[1:]:
            await client.delete_automation(duplicate.id)
            deleted.append(duplicate.name)
        if not same:
            await client.create_automation(automation)
            created.append(automation.name)
        elif canonical(same[0]) != canonical(automation):
            # The owner stays what it is; an update that names it is refused.
            content = automation.model_dump(exclude={"owner_resource"}) | {"enabled": same[0].enabled}
            await client.update_automation(same[0].id, AutomationCore.model_validate(content))
            updated.append(automation.name)
        else:
            unchanged.append(automation.name)
    for unwanted in (automation for same in by_name.values() for automation in same):
        await client.delete_automation(unwanted.id)
        deleted.append(unwanted.name)
    return Changes(created, updated, deleted, unchanged)


def _sorted(value: Any) -> Any:
    match value:
        case list():
            return sorted(
                (_sorted(item) for item in cast("list[Any]", value)), key=lambda item: json.dumps(item, sort_keys=True)
            )
        case dict():
            return {key: _sorted(item) for key, item in cast("dict[str, Any]", value).items() if key != "id"}
        case _:
            return value
