"""Who is told what, and how often, when jobs do not run: with a real server, real workers and a real receiver."""

import os
import re
import signal

import pytest

from deployments.sandbox import Fault
from flows.monitoring.alarms.delivery import DELIVERY_SECONDS
from tests.end_to_end.conftest import Pipeline
from tests.support.prefect_server import wait_until
from tests.support.receiver import Receiver

pytestmark = pytest.mark.end_to_end


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


def told(receiver: Receiver) -> list[str]:
    """The subjects of what was told of the polls; the status flow may rightly be called silent in its first minutes."""
    return [subject for subject in receiver.subjects if "pipeline_status" not in subject]


def test_a_dead_worker_and_its_return_are_one_message_each(pipeline: Pipeline, receiver: Receiver) -> None:
    server = pipeline.prefect
    # A run that a killed worker had taken, and not begun, keeps its job's slot for five minutes.
    server.environment["PREFECT_WORKER_PREFETCH_SECONDS"] = "1"
    server.start_worker("vibecheck-status", "watchdog")
    worker = server.start_worker("vibecheck")
    # With ticks of 20 s, one start that takes long would rightly be told.
    pipeline.tick_every(60, "poll_news", "pipeline_status")
    pipeline.apply_automations(receiver)
    wait_until(lambda: count(pipeline, "poll_news") >= 1, seconds=180, what="a poll")
    judge(pipeline, 2)
    assert told(receiver) == []

    before = count(pipeline, "poll_news")
    wait_until(lambda: count(pipeline, "poll_news") > before, seconds=120, what="the end of a poll")
    worker.kill_group()
    # So that the alarm comes soon.
    pipeline.tick_every(20, "poll_news", "pipeline_status")
    pipeline.apply_automations(receiver)
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
    pipeline.apply_automations(receiver)
    server = pipeline.prefect
    server.environment["VIBECHECK_FAILING_AFTER"] = "2"
    # An answer is waited for as long as a delivery may take: by itself, Apprise gives one up after 4 s.
    server.environment["VIBECHECK_NOTIFICATION"] += f"?rto={DELIVERY_SECONDS:g}"
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
    judge(pipeline, 1)
    # Two judge at once; one of them is killed when the change is stored, and the receiver has not answered yet.
    pipeline.lift_limit("pipeline_status")
    receiver.answers.clear()
    killed, other = (pipeline.run("pipeline_status/scheduled") for _ in range(2))
    wait_until(lambda: receiver.refused >= 2, seconds=90, what="both alarms, which nobody answers")
    assert {row["execution_id"] for row in pipeline.log_rows() if row["status"] == "running"} == {killed, other}
    process_id = wait_until(lambda: server.process_of_run(killed), seconds=10, what="the status flow's own process")
    os.kill(process_id, signal.SIGKILL)
    assert pipeline.wait_for_row(killed)["status"] == "failure"
    receiver.answers.set()
    assert pipeline.wait_for_row(other)["status"] == "success"
    turned = pipeline.query("SELECT job_name FROM job_transitions WHERE to_status = 'unhealthy' ORDER BY job_name")
    assert [row["job_name"] for row in turned] == ["poll_news", "poll_stories"]
    assert receiver.subjects == []
    assert any(run["state_name"] == "Unhealthy" for run in server.flow_runs()), "the state's name tells the result"

    receiver.status = 200
    judge(pipeline, 2)
    (subject,) = receiver.subjects
    assert re.search("2 jobs: .*poll_news has been failing since", subject)
    assert "poll_stories has never run" in subject
    assert re.search("Last error: .*CredentialsRefused", receiver.bodies[0]), receiver.bodies[0]

    server.command("prefect", "deployment", "delete", "poll_stories/scheduled")
    changes = pipeline.apply_automations(receiver)
    assert "VibeCheck: silent job poll_stories" in changes.deleted
    pipeline.sandbox.clear_faults()
    pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    judge(pipeline, 2)
    # A recovery that is younger than two judgements are apart is not believed yet.
    (ended,) = receiver.subjects[1:]
    assert re.search("poll_stories has not been watched since", ended)
    assert pipeline.query("SELECT retired_at FROM monitored_jobs WHERE job_name = 'poll_stories'")[0]["retired_at"]
