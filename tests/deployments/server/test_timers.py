"""The server's timers, held for a planned stop, on a server that is made up."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.events import Event

from deployments.server import timers
from deployments.server.expansion import Job, expand, load
from deployments.server.timers import hold_timers
from tests.support.fake_prefect import START, FakePrefect
from tests.support.live_jobs import live_job


async def test_a_job_is_held_whatever_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["report/[eu]", "report/what?", "report/*"]
    prefect = FakePrefect()
    for wanted in expand(
        load(), [Job(name, 60) for name in names], [live_job(name) for name in names], None,
        reminder_seconds=60, installation="here",
    ):  # fmt: skip
        prefect.automations.append({"id": str(uuid4()), **wanted.model_dump(mode="json")})
    held: dict[str, object] = {}

    async def emit(_client: PrefectClient, events: Sequence[Event]) -> None:
        held[events[-1].resource["prefect.resource.id"]] = events[-1].occurred

    monkeypatch.setattr(timers, "emit", emit)
    async with prefect.client() as client:
        await hold_timers(client, {*names[:2]}, timedelta(hours=1))
    assert held == {f"vibecheck.job.{name}": START + timedelta(hours=1) for name in names[:2]}
