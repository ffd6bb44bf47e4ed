"""Who is told what, and how often, when jobs do not run: with a real server, real workers and a real receiver."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from deployments.sandbox import Fault
from deployments.server.automations import Changes, apply_automations
from flows.settings import Settings
from tests.end_to_end.conftest import Pipeline
from tests.support.prefect_server import wait_until
from tests.support.receiver import Receiver, running_receiver

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.timeout(900),
    # Apprise imports it for a plugin of its own.
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]


@pytest.fixture
def receiver(pipeline: Pipeline) -> Iterator[Receiver]:
    """Where this installation's alarms go, from the next process and the next apply on."""
    with running_receiver() as receiver:
        pipeline.prefect.environment["VIBECHECK_NOTIFICATION"] = receiver.apprise_url
        yield receiver


def apply(pipeline: Pipeline, receiver: Receiver, **settings: Any) -> Changes:
    """Bring the automations to the deployments as they are now, which is a step of `vibecheck apply`."""

    async def apply_now() -> Changes:
        ours: dict[Any, Any] = {PREFECT_API_URL: pipeline.prefect.api_url, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
        with temporary_settings(ours):
            async with get_client() as client:
                return await apply_automations(
                    client, Settings.model_validate({"notification": receiver.apprise_url, **settings})
                )

    return asyncio.run(apply_now())


def count(pipeline: Pipeline, job_name: str, *statuses: str) -> int:
    return sum(row["status"] in (statuses or ("success",)) for row in pipeline.log_rows(job_name))


def wait_for_judgements(pipeline: Pipeline, more: int) -> None:
    """Wait until the status flow has done its work so many more times."""
    wanted = count(pipeline, "pipeline_status") + more
    wait_until(
        lambda: count(pipeline, "pipeline_status") >= wanted, seconds=240, what=f"{more} more runs of the status flow"
    )


def judge(pipeline: Pipeline, times: int) -> None:
    """Let the status flow do its work, as a person does who does not want to wait."""
    done = 0
    while done < times:
        row = pipeline.wait_for_row(pipeline.run("pipeline_status/scheduled"))
        # Refused while a run that its schedule started is going.
        assert row["status"] in ("success", "skipped"), row
        done += row["status"] == "success"


def create_late_run(pipeline: Pipeline, flow_name: str) -> str:
    """A run with the tags of those that the schedule makes, which was to start a minute ago.

    Not one of the schedule's own: what the server does about those is held back for a quarter of an hour in the first
    minutes after a deployment, since it waits for an event that the scheduler never emits.
    """
    (scheduled, *_) = wait_until(
        lambda: [run for run in pipeline.prefect.flow_runs() if run["auto_scheduled"]], seconds=90, what="a planned run"
    )
    assert {"auto-scheduled", "monitored"} <= set(scheduled["tags"])
    (deployment,) = pipeline.prefect.api("deployments/filter", flows={"name": {"any_": [flow_name]}})
    due = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    run = pipeline.prefect.api(
        f"deployments/{deployment['id']}/create_flow_run",
        tags=["auto-scheduled"],
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": due}},
    )
    return run["id"]


def told(receiver: Receiver) -> list[str]:
    """The subjects of what was told of the polls; the status flow may rightly be called silent in its first minutes."""
    return [subject for subject in receiver.subjects if "pipeline_status" not in subject]


def test_a_dead_worker_and_its_return_are_one_message_each(pipeline: Pipeline, receiver: Receiver) -> None:
    server = pipeline.prefect
    # A run that a killed worker had taken, and not begun, keeps its job's slot for five minutes.
    server.environment["PREFECT_WORKER_PREFETCH_SECONDS"] = "1"
    server.start_worker("vibecheck-status", "watchdog")
    worker = server.start_worker("vibecheck")
    pipeline.tick_every(20, "poll_news", "pipeline_status")
    apply(pipeline, receiver)
    wait_until(lambda: count(pipeline, "poll_news") >= 2, seconds=180, what="two polls")
    judge(pipeline, 2)
    assert told(receiver) == []

    before = count(pipeline, "poll_news")
    wait_until(lambda: count(pipeline, "poll_news") > before, seconds=120, what="the end of a poll")
    worker.kill_group()
    assert server.server is not None
    server.server.stop()
    server.start()
    wait_until(lambda: told(receiver), seconds=300, what="the alarm")
    assert re.fullmatch(
        r"VibeCheck \S+: (poll_news has been overdue|no worker on pool \S+) since .*", told(receiver)[0]
    )
    assert any("every 20 s" in body for body in receiver.bodies)
    # Longer than the 2 intervals and a grace after which the server itself would report the job.
    wait_for_judgements(pipeline, 3)
    assert len(told(receiver)) == 1

    server.start_worker("vibecheck", "successor")
    wait_until(lambda: len(told(receiver)) > 1, seconds=240, what="the recovery")
    assert re.fullmatch(r"VibeCheck \S+: .*recovered.*", told(receiver)[1])
    judge(pipeline, 2)
    assert len(told(receiver)) == 2
    turned = pipeline.query("SELECT to_status, reason FROM job_transitions WHERE job_name = 'poll_news' ORDER BY id")
    assert turned[-1]["to_status"] == "healthy"


def test_a_failing_job_is_one_message_while_the_receiver_is_away(pipeline: Pipeline, receiver: Receiver) -> None:
    apply(pipeline, receiver)
    server = pipeline.prefect
    server.environment["VIBECHECK_FAILING_AFTER"] = "2"
    server.start_worker("vibecheck")
    server.start_worker("vibecheck-status", "watchdog")
    pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    judge(pipeline, 2)
    assert receiver.subjects == []

    receiver.status = 500
    pipeline.sandbox.add_faults(Fault(kind="unauthorized", path="/v1/news/search", times="forever"))
    for _ in range(2):
        assert pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))["status"] == "failure"
    # As if it had been deployed three hours ago; it has not run yet.
    pipeline.execute(
        "UPDATE monitored_jobs SET since = strftime('%Y-%m-%d %H:%M:%f000', 'now', '-3 hours') "
        "WHERE job_name = 'poll_stories'"
    )
    judge(pipeline, 3)
    assert receiver.refused >= 2
    assert receiver.subjects == []
    assert any(run["state_name"] == "Unhealthy" for run in server.flow_runs()), "the state's name tells the result"

    receiver.status = 200
    judge(pipeline, 2)
    (subject,) = receiver.subjects
    assert re.search("2 jobs: .*poll_news has been failing since", subject)
    assert "poll_stories has never run" in subject
    assert re.search("Last error: .*CredentialsRefused", receiver.bodies[0]), receiver.bodies[0]

    server.command("prefect", "deployment", "delete", "poll_stories/scheduled")
    changes = apply(pipeline, receiver)
    assert "VibeCheck: silent job poll_stories" in changes.deleted
    pipeline.sandbox.clear_faults()
    pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    judge(pipeline, 2)
    assert len(receiver.subjects) == 1, "a recovery younger than two judgements are apart is not believed yet"
    assert pipeline.query("SELECT retired_at FROM monitored_jobs WHERE job_name = 'poll_stories'")[0]["retired_at"]


def test_with_all_our_processes_dead_the_server_tells_once(pipeline: Pipeline, receiver: Receiver) -> None:
    server = pipeline.prefect
    assert server.server is not None
    server.server.stop()
    server.environment["PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS"] = "PT5S"
    server.environment["PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS"] = "1"
    server.start()
    pipeline.tick_every(10, "poll_news", "pipeline_status")
    apply(pipeline, receiver)
    persons = pipeline.run("poll_news/scheduled")
    schedules_own = create_late_run(pipeline, "poll_news")
    pipeline.wait_for_state(schedules_own, "CANCELLED")
    (swept,) = server.flow_runs(id={"any_": [schedules_own]})
    assert swept["state_name"] == "Missed"
    late = wait_until(
        lambda: server.flow_runs(id={"any_": [persons]}, state={"name": {"any_": ["Late"]}}),
        seconds=240,
        what="the person's run to be late",
    )
    assert late[0]["id"] == persons

    wait_until(lambda: len(receiver.subjects) >= 2, seconds=240, what="the server's own messages")
    # One message for all silent jobs: it names whichever the server's timers found first.
    silent_watchdog, silent_job = sorted(receiver.subjects)
    assert re.fullmatch(r"VibeCheck \S+: poll_\w+ is silent, and nobody watches the jobs", silent_job)
    assert re.fullmatch(
        r"VibeCheck \S+: nobody watches the jobs, pipeline_status has done nothing for 30 s", silent_watchdog
    )
    assert any("nobody watches the jobs" in body for body in receiver.bodies)

    # The silence goes on, and so do the server's timers; but people have been told.
    def fired() -> int:
        return server.api("events/filter", filter={"event": {"name": ["prefect.automation.triggered"]}})["total"]

    before = fired()
    wait_until(lambda: fired() >= before + 3, seconds=240, what="the timers to fire again")
    assert len(receiver.subjects) == 2
    (run,) = server.flow_runs(id={"any_": [persons]})
    assert run["state_name"] == "Late"
