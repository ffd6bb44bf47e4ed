"""The server's own path, on a real server: each outage is told once, and a planned stop is not told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.events import Event

from deployments.server.automations import apply_automations
from deployments.server.timers import hold_timers
from flows.monitoring.alarms.events import emit
from flows.settings import Settings
from tests.deployments.server.deploying import deploy
from tests.support.prefect_server import wait_until
from tests.support.receiver import Receiver, running_receiver

pytestmark = pytest.mark.end_to_end

NOBODY_WATCHES = "VibeCheck staging: nobody watches the jobs, pipeline_status has done nothing for 12 s"
NEWS_IS_SILENT = "VibeCheck staging: poll_news is silent, and nobody watches the jobs"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def firing(automation: str) -> Event:
    """What the server emits when a timer of ours fires, as it does again and again while a silence lasts."""
    resource = {"prefect.resource.id": "prefect.automation.test", "prefect.resource.name": automation}
    return Event(event="prefect.automation.triggered", resource=resource)  # pyright: ignore[reportArgumentType]  # a Resource is made of it


async def judge(client: PrefectClient) -> None:
    """The status flow works."""
    names = {"prefect.resource.id": "vibecheck.job.pipeline_status", "prefect.resource.name": "pipeline_status"}
    await emit(client, [Event(event="vibecheck.job.judged", resource=names)])  # pyright: ignore[reportArgumentType]  # as above


def wait_for(receiver: Receiver, *subjects: str) -> None:
    wait_until(lambda: len(receiver.subjects) >= len(subjects), seconds=60, what=f"{len(subjects)} messages")
    # On a slow machine the next one may be here already: the timers go on.
    assert receiver.subjects[: len(subjects)] == list(subjects)


async def test_each_outage_is_told_once_and_after_a_planned_stop(client: PrefectClient, receiver: Receiver) -> None:
    await deploy(client, "pipeline_status", minutes=4 / 60)
    settings = {"notification": receiver.apprise_url, "installation": "staging"}
    await apply_automations(client, Settings.model_validate(settings))
    # It never works.
    wait_for(receiver, NOBODY_WATCHES)
    again = [firing("VibeCheck: silent watchdog pipeline_status") for _ in range(2)]
    await emit(client, [*again, firing("VibeCheck: silent job poll_news")])
    wait_for(receiver, NOBODY_WATCHES, NEWS_IS_SILENT)
    await emit(client, [firing("VibeCheck: silent job poll_stories")])

    await judge(client)
    stop = timedelta(seconds=15)
    stopped_at = datetime.now(UTC)
    await hold_timers(client, {"pipeline_status"}, stop)
    await emit(client, [firing("VibeCheck: silent job poll_news")])
    # The second within the hour, of each.
    wait_for(receiver, NOBODY_WATCHES, NEWS_IS_SILENT, NEWS_IS_SILENT)
    wait_for(receiver, NOBODY_WATCHES, NEWS_IS_SILENT, NEWS_IS_SILENT, NOBODY_WATCHES)
    # The server's clock is read to the second.
    assert datetime.now(UTC) >= stopped_at + stop + timedelta(seconds=12 - 1)
