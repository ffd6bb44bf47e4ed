"""What `vibecheck up` does between its server's start and its stop."""

from datetime import timedelta

from deployments.local import sweep_due_runs
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"


async def test_what_is_due_when_up_starts_is_missed_however_young_and_what_is_to_come_stays() -> None:
    prefect = FakePrefect()
    prefect.deploy(JOB)
    due = prefect.run(JOB, START - timedelta(seconds=40), "SCHEDULED", run_count=0)
    coming = prefect.run(JOB, START + timedelta(seconds=5), "SCHEDULED", run_count=0)

    async with prefect.client() as client:
        await sweep_due_runs(client)

    assert prefect.runs[str(due)]["state"]["name"] == "Missed"
    assert prefect.runs[str(coming)]["state"]["type"] == "SCHEDULED"
