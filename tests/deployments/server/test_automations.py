"""The automations: expanded from the file without a server, and applied to a real one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.server.events.schemas.events import Resource, ResourceSpecification
from prefect.server.utilities.user_templates import render_user_template

from deployments.server.automations import (
    Job,
    apply_automations,
    canonical,
    expand,
    load,
    scheduled_jobs,
    silence_seconds,
)
from flows.monitoring.alarms.receivers import InvalidReceiver
from flows.monitoring.vocabulary import LATE_RUNS, LOST_RUNS, OWNER
from flows.settings import Settings
from tests.deployments.server.deploying import deploy
from tests.support.live_jobs import live_job
from tests.support.prefect_server import PrefectServer

NEWS, STORIES, STATUS = Job("poll_news", 900), Job("poll_stories", 3600), Job("pipeline_status", 300)
JOBS = [NEWS, STORIES, STATUS]
LIVE = [live_job("poll_news"), live_job("poll_stories"), live_job("pipeline_status", work_pool="vibecheck-status")]
RECEIVER = {"notification": "json://somebody:sentinel@127.0.0.1:9/alarms"}


def expanded(*, jobs: list[Job] = JOBS, with_receiver: bool = True) -> dict[str, AutomationCore]:
    live = [each for each in LIVE if each.job_name in {job.name for job in jobs}]
    block_id = uuid4() if with_receiver else None
    wanted = expand(load(), jobs, live, block_id, reminder_seconds=21_600, installation="staging")
    assert len({automation.name for automation in wanted}) == len(wanted)
    return {automation.name: automation for automation in wanted}


def schedule(seconds: float) -> dict[str, Any]:
    return {"interval": seconds, "anchor": "2026-11-23T12:00:00+00:00", "cron": None, "rrule": None, "timezone": None,
            "active": True, "slug": None}  # fmt: skip


def trigger(automation: AutomationCore) -> EventTrigger:
    assert isinstance(automation.trigger, EventTrigger)
    return automation.trigger


def test_each_job_has_an_automation_of_its_own_that_also_fires_if_it_never_ran() -> None:
    wanted = expanded()
    for job in (NEWS, STORIES):
        silent = trigger(wanted[f"VibeCheck: silent job {job.name}"])
        assert silent.posture == Posture.Proactive
        assert silent.match["prefect.resource.id"] == [f"vibecheck.job.{job.name}"]  # pyright: ignore[reportUnknownMemberType]
        # The one shape that arms itself: the same events in both, and no for_each.
        own = {"vibecheck.job.finished", "vibecheck.job.judged", "vibecheck.job.expected"}
        assert silent.after == silent.expect == own
        assert silent.for_each == set()


def test_silence_is_two_intervals_and_a_grace_for_a_job_and_three_intervals_for_the_status_flow() -> None:
    assert [silence_seconds(job, JOBS) for job in JOBS] == [1_860, 7_260, 900]


def test_a_frequent_job_is_given_the_time_that_the_status_flow_needs_to_report_it_first() -> None:
    assert silence_seconds(Job("frequent", 60), [Job("frequent", 60), STATUS]) == 960


def test_everything_is_filled_in_and_described_and_marked_as_ours() -> None:
    for automation in expanded().values():
        text = automation.model_dump_json()
        assert "${" not in text
        assert "None" not in text
        assert "Made by `vibecheck apply`" in automation.description
        assert automation.owner_resource == OWNER


def test_without_a_receiver_nothing_that_sends_is_made_but_everything_else_is() -> None:
    names = set(expanded(with_receiver=False))
    assert {
        "VibeCheck: silent job poll_news",
        "VibeCheck: late runs are missed",
        "VibeCheck: lost runs are crashed 1 min 30 s after their last heartbeat",
    } <= (names)
    assert not any("tell" in name or "work pool" in name for name in names)


def test_what_would_repeat_the_status_flow_is_off_by_default() -> None:
    off = {name for name, automation in expanded().items() if not automation.enabled}
    assert off == {
        "VibeCheck: work pool vibecheck down",
        "VibeCheck: work pool vibecheck up",
        "VibeCheck: work pool vibecheck-status down",
        "VibeCheck: work pool vibecheck-status up",
        "VibeCheck: job overdue",
        "VibeCheck: job recovered",
        "VibeCheck: run failed",
    }


def test_a_run_is_lost_after_three_heartbeats_of_its_own_job() -> None:
    slow, watched = live_job("slow", heartbeat_seconds=180.0), live_job("watched", is_supervised=False)
    wanted = {
        each.name: each
        for each in expand(load(), JOBS, [*LIVE, slow, watched], None, reminder_seconds=60, installation="here")
    }
    within = {
        trigger(automation).within: trigger(automation).match_related
        for name, automation in wanted.items()
        if name.startswith(LOST_RUNS)
    }
    assert set(within) == {timedelta(seconds=90), timedelta(minutes=9)}
    assert str(slow.deployment_id) in str(within[timedelta(minutes=9)])
    assert str(LIVE[0].deployment_id) in str(within[timedelta(seconds=90)])
    assert str(watched.deployment_id) not in str(within)


def test_a_job_that_is_only_watched_has_nothing_that_interferes() -> None:
    watched = [live_job("watched", is_supervised=False)]
    names = [
        each.name
        for each in expand(load(), [Job("watched", 60)], watched, None, reminder_seconds=60, installation="here")
    ]
    assert names == ["VibeCheck: silent job watched", LATE_RUNS]


def matches(automation: AutomationCore, resource: dict[str, str]) -> bool:
    """Whether the server would take an event of the resource for the automation's own."""
    return ResourceSpecification(trigger(automation).model_dump(mode="json")["match"]).matches(Resource(resource))


@pytest.mark.parametrize("name", ["sum {{ of", "{% for", "{# {{{x}}}", "news*", "n?ws[1]", "$job ${job}"])
async def test_a_name_is_neither_a_template_nor_a_wildcard(name: str) -> None:
    job, pool = live_job(name), live_job("other", work_pool=f"!{name}")
    jobs = [Job(name, 60), Job("pipeline_status", 300)]
    automations = expand(load(), jobs, [job, pool], uuid4(), reminder_seconds=60, installation="here")
    wanted = {each.name: each for each in automations}
    body = wanted["VibeCheck: tell of silent jobs"].actions[0].model_dump()["body"]
    assert f"{name}, every 1 min" in await render_user_template(body, {})
    silent = wanted[f"VibeCheck: silent job {name}"]
    assert matches(silent, {"prefect.resource.id": f"vibecheck.job.{name}"})
    assert not matches(silent, {"prefect.resource.id": "vibecheck.job.news_of_others"})
    down = wanted[f"VibeCheck: work pool !{name} down"]
    assert matches(down, {"prefect.resource.id": "prefect.work-pool.1", "prefect.resource.name": f"!{name}"})
    assert not matches(down, {"prefect.resource.id": "prefect.work-pool.1", "prefect.resource.name": "x"})


def test_a_schedule_that_cannot_be_read_leaves_the_others_their_automations() -> None:
    odd = live_job("odd", schedule=[{**schedule(60), "interval": -1.0, "anchor": None}] * 2)
    known = live_job("known", schedule=[schedule(60)])
    assert [job.name for job in scheduled_jobs([odd, known], datetime.now(UTC))] == ["known"]


def test_nothing_to_watch_needs_no_automation() -> None:
    assert expanded(jobs=[]) == {}


def test_an_entry_for_something_unknown_is_refused() -> None:
    entry = {**load()[0], "for_each": "moon"}
    with pytest.raises(ValueError, match="for_each must be"):
        expand([entry], JOBS, LIVE, None, reminder_seconds=1, installation="here")


def test_two_automations_are_the_same_whatever_their_ids_their_order_and_their_switch() -> None:
    one = expanded()["VibeCheck: late runs are missed"]
    other = Automation.model_validate({**one.model_dump(), "id": uuid4(), "enabled": False, "owner_resource": None})
    related = trigger(one).match_related
    assert isinstance(related, list)
    trigger(other).match_related = related[::-1]
    assert canonical(one) == canonical(other)
    trigger(other).within = timedelta(seconds=1)
    assert canonical(one) != canonical(other)


def test_the_watchdogs_reminders_come_at_their_interval_and_after_the_alarm() -> None:
    remind = trigger(expanded()["VibeCheck: remind of a silent watchdog"])
    # It fires again every second `within`.
    assert remind.within == timedelta(hours=3)
    often = {each.name: each for each in expand(load(), JOBS, LIVE, uuid4(), reminder_seconds=60, installation="here")}
    assert trigger(often["VibeCheck: remind of a silent watchdog"]).within == timedelta(minutes=30)


async def on_server(client: PrefectClient) -> dict[str, Automation]:
    return {automation.name: automation for automation in await client.read_automations()}


def with_receiver(**changes: Any) -> Settings:
    return Settings.model_validate({**RECEIVER, **changes})


# Prefect and Apprise, where a block is saved.
applies = [
    pytest.mark.end_to_end,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]


class TestApplied:
    pytestmark = applies

    async def test_applying_twice_changes_nothing(self, prefect: PrefectServer, client: PrefectClient) -> None:
        first = await apply_automations(client, with_receiver())
        assert len(first.created) == 10

        def rows() -> Any:
            return [(row["id"], row["updated"]) for row in prefect.api("automations/filter")]

        before = rows()
        second = await apply_automations(client, with_receiver())
        assert (second.created, second.updated, second.deleted) == ([], [], [])
        assert sorted(second.unchanged) == sorted(first.created)
        assert rows() == before

    async def test_a_name_that_looks_like_a_template_is_taken(self, client: PrefectClient) -> None:
        await deploy(client, "sum {{ of*", minutes=15)
        changes = await apply_automations(client, with_receiver())
        assert "VibeCheck: silent job sum {{ of*" in changes.created
        assert (await apply_automations(client, with_receiver())).updated == []

    async def test_a_change_is_made_in_place_and_leaves_the_rest_and_the_operators_switch_alone(
        self, client: PrefectClient
    ) -> None:
        await apply_automations(client, with_receiver())
        before = await on_server(client)
        silent = "VibeCheck: silent job poll_news"
        await client.pause_automation(before[silent].id)
        await client.resume_automation(before["VibeCheck: run failed"].id)
        await deploy(client, "poll_news", minutes=20)
        changes = await apply_automations(client, with_receiver())
        assert set(changes.updated) == {silent, "VibeCheck: tell of silent jobs"}
        assert (changes.created, changes.deleted) == ([], [])
        after = await on_server(client)
        assert after[silent].id == before[silent].id
        assert trigger(after[silent]).within == timedelta(minutes=41)
        assert not after[silent].enabled
        assert after["VibeCheck: run failed"].enabled

    async def test_a_users_own_automation_is_left_alone_even_under_a_name_of_ours(self, client: PrefectClient) -> None:
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

    async def test_duplicates_of_two_applies_at_once_are_removed_and_the_right_one_stays(
        self, client: PrefectClient
    ) -> None:
        await apply_automations(client, with_receiver())
        name = "VibeCheck: silent job poll_news"
        right = (await on_server(client))[name]
        wrong = right.model_dump(exclude={"id"}) | {"description": "older", "owner_resource": OWNER}
        await client.create_automation(AutomationCore.model_validate(wrong))
        changes = await apply_automations(client, with_receiver())
        assert changes.deleted == [name]
        assert [each.id for each in await client.read_automations() if each.name == name] == [right.id]

    async def test_a_job_that_is_gone_leaves_no_ghost(self, client: PrefectClient) -> None:
        await deploy(client, "gone", minutes=5)
        await apply_automations(client, with_receiver())
        assert "VibeCheck: silent job gone" in await on_server(client)
        deployment = await client.read_deployment_by_name("gone/scheduled")
        await client.delete_deployment(deployment.id)
        changes = await apply_automations(client, with_receiver())
        assert "VibeCheck: silent job gone" in changes.deleted
        assert not [text for text in map(canonical, (await on_server(client)).values()) if re.search(r"\bgone,", text)]

    async def test_a_job_that_is_paused_keeps_its_automation(self, client: PrefectClient) -> None:
        await apply_automations(client, with_receiver())
        deployment = await client.read_deployment_by_name("poll_news/scheduled")
        await client.pause_deployment(deployment.id)
        changes = await apply_automations(client, with_receiver())
        assert (changes.created, changes.updated, changes.deleted) == ([], [], [])

    async def test_without_a_receiver_apply_says_how_to_set_one(
        self, client: PrefectClient, capfd: pytest.CaptureFixture[str]
    ) -> None:
        changes = await apply_automations(client, Settings.model_validate({"notification": None}))
        assert "VibeCheck: late runs are missed" in changes.created
        assert "VIBECHECK_NOTIFICATION" in capfd.readouterr().out

    async def test_a_receiver_that_cannot_be_used_is_refused_without_showing_it(self, client: PrefectClient) -> None:
        for wrong in ("https://example.com/sentinel", "sentinel", "slack-webhook/sentinel-block"):
            with pytest.raises(InvalidReceiver) as refusal:
                await apply_automations(client, with_receiver(notification=wrong))
            assert "VIBECHECK_NOTIFICATION" in str(refusal.value)
            assert "example.com" not in str(refusal.value)

    async def test_the_receivers_address_is_in_no_automation_and_no_log(
        self, client: PrefectClient, capfd: pytest.CaptureFixture[str]
    ) -> None:
        await apply_automations(client, with_receiver())
        assert "sentinel" not in "".join(map(canonical, (await on_server(client)).values()))
        assert "sentinel" not in "".join(capfd.readouterr())
