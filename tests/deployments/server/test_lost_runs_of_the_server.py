"""The server's own end of lost runs, on a real server: without any process of ours."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import Event
from prefect.states import Pending, Running

from deployments.server.expansion import expand, load
from flows.monitoring.alarms.events import emit
from tests.support.live_jobs import live_job
from tests.support.prefect_server import PrefectServer, wait_until

pytestmark = pytest.mark.end_to_end

# Three of these are the shortest silence that the server can notice.
HEARTBEAT_SECONDS = 10 / 3


def heartbeat(run_id: UUID, deployment_id: UUID) -> Event:
    """What the process of a run sends as long as it lives."""
    return Event(
        event="prefect.flow-run.heartbeat",
        occurred=datetime.now(UTC),  # pyright: ignore[reportArgumentType]  # pendulum's
        resource={"prefect.resource.id": f"prefect.flow-run.{run_id}"},  # pyright: ignore[reportArgumentType]  # a Resource is made of it
        related=[{"prefect.resource.id": f"prefect.deployment.{deployment_id}", "prefect.resource.role": "deployment"}],  # pyright: ignore[reportArgumentType]  # as above
    )


async def test_the_server_ends_a_run_that_has_gone_silent(prefect: PrefectServer, client: PrefectClient) -> None:
    deployment_id = await client.create_deployment(await client.create_flow_from_name("silent"), "scheduled")
    job = live_job("silent", deployment_id=deployment_id, heartbeat_seconds=HEARTBEAT_SECONDS)
    (automation,) = [
        each for each in expand(load(), [], [job], None, reminder_seconds=3600, installation="") if "lost" in each.name
    ]
    await client.create_automation(automation)
    silent, other = [await client.create_flow_run_from_deployment(deployment_id) for _ in range(2)]
    for run in (silent, other):
        await client.set_flow_run_state(run.id, Pending())
        await client.set_flow_run_state(run.id, Running())
    await emit(client, [heartbeat(silent.id, deployment_id)])

    def types() -> dict[str, str]:
        return {run["id"]: run["state_type"] for run in prefect.flow_runs(deployment_id={"any_": [str(deployment_id)]})}

    # One that never sent any says nothing by its silence.
    wait_until(lambda: types()[str(silent.id)] == StateType.CRASHED, seconds=90, what="the silent run to be crashed")
    assert types()[str(other.id)] == StateType.RUNNING
