"""The server's own end of lost runs, on a real server: without any process of ours."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
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


async def starts(client: PrefectClient, run_id: UUID) -> bool:
    """Whether the server lets the run start, as a worker and the run's process ask for it."""
    answers = [await client.set_flow_run_state(run_id, state) for state in (Pending(), Running())]
    return all(answer.status == SetStateStatus.ACCEPT for answer in answers)


async def test_the_server_ends_a_run_that_has_gone_silent(prefect: PrefectServer, client: PrefectClient) -> None:
    deployment_id = await client.create_deployment(await client.create_flow_from_name("silent"), "scheduled")
    job = live_job("silent", deployment_id=deployment_id, heartbeat_seconds=HEARTBEAT_SECONDS)
    (automation,) = [
        each for each in expand(load(), [], [job], None, reminder_seconds=3600, installation="") if "lost" in each.name
    ]
    await client.create_automation(automation)
    never_heard, silent, refused = [await client.create_flow_run_from_deployment(deployment_id) for _ in range(3)]
    # Before there is a limit: it takes nobody's place.
    assert await starts(client, never_heard.id)
    one_at_a_time = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    limited = DeploymentUpdate(concurrency_limit=1, concurrency_options=one_at_a_time)
    await client.update_deployment(deployment_id, limited)
    assert await starts(client, silent.id)
    await emit(client, [heartbeat(silent.id, deployment_id)])
    assert not await starts(client, refused.id)

    def state_of(run: FlowRun) -> str:
        (found,) = prefect.flow_runs(id={"any_": [str(run.id)]})
        return found["state_type"]

    wait_until(lambda: state_of(silent) == StateType.CRASHED, seconds=90, what="the silent run to be crashed")
    assert await starts(client, (await client.create_flow_run_from_deployment(deployment_id)).id)
    # One that never sent any says nothing by its silence.
    assert state_of(never_heard) == StateType.RUNNING
