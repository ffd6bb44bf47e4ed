"""The automations, expanded from the file without a server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.server.events.schemas.events import Resource, ResourceSpecification
from prefect.server.utilities.user_templates import render_user_template

from deployments.server.automations import canonical
from deployments.server.expansion import Job, expand, load, scheduled_jobs, silence_seconds
from flows.monitoring.jobs.expectation_tags import parse_tags
from flows.monitoring.vocabulary import LATE_RUNS, LOST_RUNS, OWNER
from tests.support.live_jobs import live_job

NEWS, STORIES, STATUS = Job("poll_news", 900), Job("poll_stories", 3600), Job("pipeline_status", 300)
JOBS = [NEWS, STORIES, STATUS]
LIVE = [live_job("poll_news"), live_job("poll_stories"), live_job("pipeline_status", work_pool="vibecheck-status")]


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


def test_each_jobs_automation_also_fires_if_it_never_ran() -> None:
    wanted = expanded()
    for job in (NEWS, STORIES):
        silent = trigger(wanted[f"VibeCheck: silent job {job.name}"])
        assert silent.posture == Posture.Proactive
        assert silent.match["prefect.resource.id"] == [f"vibecheck.job.{job.name}"]  # pyright: ignore[reportUnknownMemberType]  # Prefect's own
        # The one shape that arms itself: the same events in both, and no for_each.
        own = {"vibecheck.job.finished", "vibecheck.job.judged", "vibecheck.job.expected"}
        assert silent.after == silent.expect == own
        assert silent.for_each == set()


def test_how_long_silence_lasts_before_the_server_tells() -> None:
    assert [silence_seconds(job, JOBS) for job in JOBS] == [1_860, 7_260, 900]


@pytest.mark.parametrize(
    ("tags", "cron", "seconds"),
    [
        ([], "0 2 * * *", 86_400 + 3_600 + 60),
        (["within=10m", "duration=2h"], "0 2 * * *", 86_400 + 600 + 7_200 + 60),
        (["within=30m"], None, 3_600 + 1_800 + 60),
        (["duration=10m"], None, 2 * 3_600 + 60),
    ],
)
def test_silence_is_what_the_jobs_own_expectations_allow(tags: list[str], cron: str | None, seconds: float) -> None:
    own = {**schedule(3_600), "interval": None, "anchor": None, "cron": cron} if cron else schedule(3_600)
    live = live_job("job", schedule=[own], expectations=parse_tags(tags))
    for paused in (False, True):
        seen = replace(live, schedule=[{**own, "active": not paused}], paused=paused)
        (job,) = scheduled_jobs([seen], datetime(2026, 11, 23, tzinfo=UTC))
        assert silence_seconds(job, [job]) == seconds


def test_the_status_flow_has_time_to_report_a_frequent_job_first() -> None:
    assert silence_seconds(Job("frequent", 60), [Job("frequent", 60), STATUS]) == 960


def test_all_is_filled_in_and_described_and_marked_as_ours() -> None:
    for automation in expanded().values():
        text = automation.model_dump_json()
        assert "${" not in text
        assert "None" not in text
        assert "Made by `vibecheck apply`" in automation.description
        assert automation.owner_resource == OWNER


def test_without_a_receiver_all_is_made_but_what_sends() -> None:
    names = set(expanded(with_receiver=False))
    assert {
        "VibeCheck: silent job poll_news",
        "VibeCheck: late runs are missed",
        "VibeCheck: lost runs are crashed 1 min 30 s after their last heartbeat",
    } <= (names)
    assert not any("tell" in name for name in names)


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
    job = live_job(name)
    jobs = [Job(name, 60), Job("pipeline_status", 300)]
    wanted = {each.name: each for each in expand(load(), jobs, [job], uuid4(), reminder_seconds=60, installation="{{x")}
    body = wanted["VibeCheck: tell of silent jobs"].actions[0].model_dump()["body"]
    assert f"{name}, every 1 min" in await render_user_template(body, {})
    silent = wanted[f"VibeCheck: silent job {name}"]
    assert matches(silent, {"prefect.resource.id": f"vibecheck.job.{name}"})
    assert not matches(silent, {"prefect.resource.id": "vibecheck.job.news_of_others"})


def test_an_unreadable_schedule_leaves_others_their_automations() -> None:
    odd = live_job("odd", schedule=[{**schedule(60), "interval": -1.0, "anchor": None}] * 2)
    known = live_job("known", schedule=[schedule(60)])
    assert [job.name for job in scheduled_jobs([odd, known], datetime.now(UTC))] == ["known"]


def test_nothing_to_watch_needs_no_automation() -> None:
    assert expanded(jobs=[]) == {}


def test_an_entry_for_something_unknown_is_refused() -> None:
    entry = {**load()[0], "for_each": "moon"}
    with pytest.raises(ValueError, match="for_each must be"):
        expand([entry], JOBS, LIVE, None, reminder_seconds=1, installation="here")


def test_ids_order_and_switch_make_no_other_automation() -> None:
    one = expanded()["VibeCheck: late runs are missed"]
    other = Automation.model_validate({**one.model_dump(), "id": uuid4(), "enabled": False, "owner_resource": None})
    related = trigger(one).match_related
    assert isinstance(related, list)
    trigger(other).match_related = related[::-1]
    assert canonical(one) == canonical(other)
    trigger(other).within = timedelta(seconds=1)
    assert canonical(one) != canonical(other)


def test_the_watchdogs_reminders_come_after_the_alarm_in_time() -> None:
    remind = trigger(expanded()["VibeCheck: remind of a silent watchdog"])
    # It fires again every second `within`.
    assert remind.within == timedelta(hours=3)
    often = {each.name: each for each in expand(load(), JOBS, LIVE, uuid4(), reminder_seconds=60, installation="here")}
    assert trigger(often["VibeCheck: remind of a silent watchdog"]).within == timedelta(minutes=30)
