"""The automations, applied to a real server."""

import re
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger

from deployments.server.automations import apply_automations, canonical
from flows.monitoring.alarms.receivers import InvalidReceiver
from flows.monitoring.vocabulary import OWNER
from flows.settings import Settings
from tests.deployments.server.deploying import deploy
from tests.support.prefect_server import PrefectServer

RECEIVER = {"notification": "json://somebody:sentinel@127.0.0.1:9/alarms"}

# Prefect and Apprise, where a block is saved.
pytestmark = pytest.mark.end_to_end


async def on_server(client: PrefectClient) -> dict[str, Automation]:
    return {automation.name: automation for automation in await client.read_automations()}


def with_receiver(**changes: Any) -> Settings:
    return Settings.model_validate({**RECEIVER, **changes})


async def test_applying_twice_changes_nothing(prefect: PrefectServer, client: PrefectClient) -> None:
    first = await apply_automations(client, with_receiver())
    assert len(first.created) == 7

    def rows() -> Any:
        return [(row["id"], row["updated"]) for row in prefect.api("automations/filter")]

    before = rows()
    second = await apply_automations(client, with_receiver())
    assert (second.created, second.updated, second.deleted) == ([], [], [])
    assert sorted(second.unchanged) == sorted(first.created)
    assert rows() == before


async def test_a_name_that_looks_like_a_template_is_taken(client: PrefectClient) -> None:
    await deploy(client, "sum {{ of*", minutes=15)
    changes = await apply_automations(client, with_receiver())
    assert "VibeCheck: silent job sum {{ of*" in changes.created
    assert (await apply_automations(client, with_receiver())).updated == []


async def test_a_change_leaves_the_operators_switch_alone(client: PrefectClient) -> None:
    await apply_automations(client, with_receiver())
    before = await on_server(client)
    silent = "VibeCheck: silent job poll_news"
    await client.pause_automation(before[silent].id)
    await deploy(client, "poll_news", minutes=20)
    changes = await apply_automations(client, with_receiver())
    assert set(changes.updated) == {silent, "VibeCheck: tell of silent jobs"}
    assert (changes.created, changes.deleted) == ([], [])
    after = await on_server(client)
    assert after[silent].id == before[silent].id
    trigger = after[silent].trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.within == timedelta(minutes=41)
    assert not after[silent].enabled


async def test_a_users_automation_is_left_alone_even_with_our_name(client: PrefectClient) -> None:
    users = AutomationCore.model_validate(
        {
            "name": "VibeCheck: silent job poll_news",
            "trigger": {"type": "event", "expect": ["x"]},
            "actions": [{"type": "do-nothing"}],
        }
    )
    users_id = await client.create_automation(users)
    await apply_automations(client, with_receiver())
    await apply_automations(client, with_receiver())
    same_name = [each for each in await client.read_automations() if each.name == users.name]
    assert len(same_name) == 2
    mine = next(each for each in same_name if each.id == users_id)
    assert canonical(mine) == canonical(users)


async def test_of_two_applies_at_once_one_automation_each_stays(client: PrefectClient) -> None:
    await apply_automations(client, with_receiver())
    name = "VibeCheck: silent job poll_news"
    right = (await on_server(client))[name]
    wrong = right.model_dump(exclude={"id"}) | {"description": "older", "owner_resource": OWNER}
    await client.create_automation(AutomationCore.model_validate(wrong))
    changes = await apply_automations(client, with_receiver())
    assert changes.deleted == [name]
    assert [each.id for each in await client.read_automations() if each.name == name] == [right.id]


async def test_a_job_that_is_gone_leaves_no_ghost(client: PrefectClient) -> None:
    await deploy(client, "gone", minutes=5)
    await apply_automations(client, with_receiver())
    assert "VibeCheck: silent job gone" in await on_server(client)
    deployment = await client.read_deployment_by_name("gone/scheduled")
    await client.delete_deployment(deployment.id)
    changes = await apply_automations(client, with_receiver())
    assert "VibeCheck: silent job gone" in changes.deleted
    assert not [text for text in map(canonical, (await on_server(client)).values()) if re.search(r"\bgone,", text)]


async def test_a_job_that_is_paused_keeps_its_automation(client: PrefectClient) -> None:
    await apply_automations(client, with_receiver())
    deployment = await client.read_deployment_by_name("poll_news/scheduled")
    await client.pause_deployment(deployment.id)
    changes = await apply_automations(client, with_receiver())
    assert (changes.created, changes.updated, changes.deleted) == ([], [], [])


async def test_without_a_receiver_apply_says_how_to_set_one(
    client: PrefectClient, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = await apply_automations(client, Settings.model_validate({"notification": None}))
    assert "VibeCheck: late runs are missed" in changes.created
    assert "VIBECHECK_NOTIFICATION" in capfd.readouterr().out


async def test_an_unusable_receiver_is_refused_without_showing_it(client: PrefectClient) -> None:
    for wrong in ("https://example.com/sentinel", "sentinel", "slack-webhook/sentinel-block"):
        with pytest.raises(InvalidReceiver) as refusal:
            await apply_automations(client, with_receiver(notification=wrong))
        assert "VIBECHECK_NOTIFICATION" in str(refusal.value)
        assert "example.com" not in str(refusal.value)


async def test_the_receivers_address_is_in_no_automation_and_no_log(
    client: PrefectClient, capfd: pytest.CaptureFixture[str]
) -> None:
    await apply_automations(client, with_receiver())
    assert "sentinel" not in "".join(map(canonical, (await on_server(client)).values()))
    assert "sentinel" not in "".join(capfd.readouterr())
