"""What leaves prefect.yaml, and what `remove` takes away: ours, and nobody else's."""

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from structlog.testing import capture_logs

from deployments.commands.apply import leave_out
from deployments.commands.remove import run_remove
from deployments.failures import CommandFailed
from deployments.server.automations import apply_automations
from deployments.server.ours import find_ours, own_deployments
from deployments.server.work_pools import make_work_pools
from flows.settings import Settings

# Apprise, where a block is saved.
pytestmark = pytest.mark.end_to_end
SETTINGS = Settings.model_validate({"notification": "json://127.0.0.1:9/alarms"})


async def deploy(client: PrefectClient, flow: str, entrypoint: str, *, work_pool: str = "vibecheck") -> None:
    await client.create_deployment(
        await client.create_flow_from_name(flow),
        "scheduled",
        entrypoint=entrypoint,
        work_pool_name=work_pool,
        tags=["monitored"],
    )


@pytest.fixture
async def client(client: PrefectClient) -> PrefectClient:
    """A client of a server on which a job has left prefect.yaml, and somebody else has a deployment as well."""
    await make_work_pools(client)
    await deploy(client, "poll_news", "flows.poll_news.poll_news")
    await deploy(client, "old_poll", "flows.old_poll.old_poll")
    status_flow = "vibecheck.flows.pipeline_status.pipeline_status"  # as a wheel deploys it
    await deploy(client, "pipeline_status", status_flow, work_pool="vibecheck-status")
    await deploy(client, "hers", "flows/hers.py:hers")
    return client


async def names(client: PrefectClient) -> set[str]:
    flows = {flow.id: flow.name for flow in await client.read_flows()}
    return {flows[deployment.flow_id] for deployment in await client.read_deployments()}


async def test_only_a_job_that_left_the_file_is_named_and_pruned(client: PrefectClient) -> None:
    left = [deployment.full_name for deployment in await own_deployments(client) if not deployment.is_described]
    assert left == ["old_poll/scheduled"]

    with capture_logs() as events:
        await leave_out(client, prune=False)
    (warning,) = events
    assert (warning["event"], warning["names"]) == ("deployments_left_over", left)
    assert await names(client) == {"poll_news", "old_poll", "pipeline_status", "hers"}

    with capture_logs() as events:
        await leave_out(client, prune=True)
        await leave_out(client, prune=True)
    assert [event["event"] for event in events] == ["deployments_removed"]
    assert await names(client) == {"poll_news", "pipeline_status", "hers"}


async def test_remove_takes_away_ours_and_leaves_hers(
    client: PrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await apply_automations(client, SETTINGS)
    trigger = EventTrigger(posture=Posture.Reactive, expect={"hers"}, threshold=1)
    await client.create_automation(AutomationCore(name="hers", trigger=trigger, actions=[]))

    with pytest.raises(CommandFailed, match="--yes"):
        await run_remove(settings=SETTINGS)
    assert not (await find_ours(client)).is_nothing()

    assert await run_remove(is_sure=True, settings=SETTINGS) == 0

    assert await names(client) == {"hers"}
    assert [automation.name for automation in await client.read_automations()] == ["hers"]
    pools = {pool.name for pool in await client.read_work_pools()}
    assert "vibecheck" in pools, "her deployment uses it"
    assert "vibecheck-status" not in pools
    said = capsys.readouterr().out
    assert "old_poll/scheduled" in said
    assert "vibecheck-alarms" in said
    assert "  work pools that stay, as others use them too:\n    vibecheck\n" in said
    assert "    VibeCheck: tell of silent jobs\n" in said

    assert await run_remove(is_sure=True, settings=SETTINGS) == 0
    assert "has nothing of ours" in capsys.readouterr().out
