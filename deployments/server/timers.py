"""The server's timers, which report what is silent: held for a planned stop."""

import glob
from collections.abc import Collection, Iterator
from datetime import timedelta

from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, EventTrigger, Posture

from flows.monitoring.alarms.events import emit, expected
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.vocabulary import JOB, OWNER, JobEvent

# A timer takes no event that lies beyond its end, so it is led there in steps of a part of its length: small
# enough that two of them, which the server may take in the wrong order, do no harm.
STEPS_PER_TIMER = 4


async def hold_timers(client: PrefectClient, jobs: Collection[str], duration: timedelta) -> None:
    """Let the server's timers of `jobs` begin `duration` from now: none is reported as silent before that and its time.

    It ends by itself, and cannot be ended before. Raises httpx.HTTPError; events that are refused are logged.
    """
    now = await server_now(client)
    # The triggers have the names as patterns.
    names = {glob.escape(f"{JOB}{name}"): name for name in jobs}
    lengths: dict[str, timedelta] = {}
    for automation in await client.read_resource_related_automations(OWNER):
        for resource, within in _timers_of(automation):
            if resource in names:
                lengths[names[resource]] = min(within, lengths.get(names[resource], within))
    for job_name, within in lengths.items():
        step = within / STEPS_PER_TIMER
        moments = [now + number * step for number in range(duration // step + 1)]
        await emit(client, [expected(job_name, at) for at in [*moments, now + duration]])


def _timers_of(automation: Automation) -> Iterator[tuple[str, timedelta]]:
    """The resources whose silence the automation reports, and after how long."""
    trigger = automation.trigger
    if (
        isinstance(trigger, EventTrigger)
        and trigger.posture == Posture.Proactive
        and JobEvent.EXPECTED in trigger.after
    ):
        for resource in trigger.match.get("prefect.resource.id") or []:
            yield resource, trigger.within
