"""What the Prefect server tells by itself when every process of ours is dead."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.conftest import Pipeline
from tests.support.prefect_server import wait_until
from tests.support.receiver import Receiver

pytestmark = pytest.mark.end_to_end


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


def test_with_all_our_processes_dead_the_server_tells_once(pipeline: Pipeline, receiver: Receiver) -> None:
    server = pipeline.prefect
    assert server.server is not None
    server.server.stop()
    server.environment["PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS"] = "PT5S"
    server.environment["PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS"] = "1"
    server.start()
    pipeline.tick_every(10, "poll_news", "pipeline_status")
    pipeline.apply_automations(receiver)
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
    named = re.fullmatch(r"VibeCheck \S+: (poll_\w+) is silent, and nobody watches the jobs", silent_job)
    assert named is not None
    assert re.fullmatch(
        r"VibeCheck \S+: nobody watches the jobs, pipeline_status has done nothing for 30 s", silent_watchdog
    )
    assert any("nobody watches the jobs" in body for body in receiver.bodies)

    # The silence goes on, and so do the server's timers; but people have been told.
    told_at = datetime.now(UTC).isoformat()

    def fired_again() -> bool:
        firings = server.api(
            "events/filter",
            filter={"event": {"name": ["prefect.automation.triggered"]}, "occurred": {"since": told_at}},
        )["events"]
        names = {firing["resource"]["prefect.resource.name"] for firing in firings}
        return {"VibeCheck: silent watchdog pipeline_status", f"VibeCheck: silent job {named[1]}"} <= names

    wait_until(fired_again, seconds=240, what="both timers to fire again")
    assert len(receiver.subjects) == 2
    (run,) = server.flow_runs(id={"any_": [persons]})
    assert run["state_name"] == "Late"
