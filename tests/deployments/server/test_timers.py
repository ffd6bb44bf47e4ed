"""The server's timers, held for a planned stop, on a server that is made up."""

from datetime import datetime, timedelta
from uuid import uuid4

from deployments.server.expansion import Job, expand, load
from deployments.server.timers import hold_timers
from tests.support.fake_prefect import START, FakePrefect
from tests.support.live_jobs import live_job


async def test_a_job_is_held_whatever_it_is_called() -> None:
    names = ["report/[eu]", "report/what?", "report/*"]
    prefect = FakePrefect()
    for wanted in expand(
        load(), [Job(name, 60) for name in names], [live_job(name) for name in names], None,
        reminder_seconds=60, installation="here",
    ):  # fmt: skip
        prefect.automations.append({"id": str(uuid4()), **wanted.model_dump(mode="json")})
    async with prefect.client() as client:
        await hold_timers(client, {*names[:2]}, timedelta(hours=1))
    # Of each job, the last one counts.
    held = {event["resource"]["prefect.resource.id"]: event["occurred"] for event in prefect.emitted}
    until = START + timedelta(hours=1)
    assert {name: datetime.fromisoformat(at) for name, at in held.items()} == dict.fromkeys(
        (f"vibecheck.job.{name}" for name in names[:2]), until
    )
