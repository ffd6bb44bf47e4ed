"""Both flows, deployed and run as a user does."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.conftest import Installation
from tests.support.prefect_server import wait_until

pytestmark = pytest.mark.end_to_end


def test_both_flows_store_what_is_served_and_account_for_it(installation: Installation) -> None:
    pipeline, worker = installation.pipeline, installation.worker
    pipeline.prefect.command("prefect", "deployment", "run", "poll_news/scheduled")
    (asked_for,) = (run["id"] for run in pipeline.prefect.flow_runs() if not run["auto_scheduled"])
    news = pipeline.wait_for_row(asked_for)
    stories = pipeline.wait_for_row(pipeline.run("poll_stories/scheduled", parameters={"entities_per_run": 3}))

    for row in (news, stories):
        counts = row["metadata"]
        assert row["status"] == "success", row
        assert row["closed_by"] == "flow"
        assert row["attempt"] == 1
        assert counts["fetched"] == sum(counts[name] for name in ("inserted", "updated", "unchanged", "rejected"))
        assert counts["inserted"] > 0
    (stored,) = pipeline.query("SELECT count(*) AS articles FROM articles")
    assert stored["articles"] == news["metadata"]["inserted"]
    several = pipeline.query("SELECT article_id FROM article_entities GROUP BY article_id HAVING count(*) > 1")
    assert several, "an article that mentions two entities is linked to both"
    for table in ("story_sentiment", "story_reddit_sentiment", "reddit_threads", "story_entities"):
        assert pipeline.query(f"SELECT 1 FROM {table} LIMIT 1"), table  # noqa: S608  # the names above

    again = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    (after,) = pipeline.query("SELECT count(*) AS articles FROM articles")
    assert after["articles"] == stored["articles"] + again["metadata"]["inserted"]
    assert again["metadata"]["unchanged"] > 0
    assert again["metadata"]["updated"] == 0

    # As the README prints it: without the state, the planned runs of the coming hour push the ended ones off the list.
    listed = pipeline.prefect.command("prefect", "flow-run", "ls", "--state-type", "COMPLETED").stdout
    assert len(re.findall("poll_news", listed)) >= 2
    logs = pipeline.prefect.command("prefect", "flow-run", "logs", news["execution_id"]).stdout
    assert "poll_finished" in logs
    assert f"execution_id={news['execution_id']}" in logs
    deployments = pipeline.prefect.command("prefect", "deployment", "ls").stdout
    assert "poll_news/scheduled" in deployments
    assert "poll_stories/scheduled" in deployments
    events = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    (finished,) = [
        event for event in events if event["event"] == "poll_finished" and event["execution_id"] == news["execution_id"]
    ]
    assert finished["job_name"] == "poll_news"
    assert finished["inserted"] == news["metadata"]["inserted"]


def test_deploying_twice_leaves_one_schedule_and_its_runs(installation: Installation) -> None:
    pipeline = installation.pipeline

    def schedules() -> list[tuple[str, str, float]]:
        return sorted(
            (deployment["id"], schedule["slug"], schedule["schedule"]["interval"])
            for deployment in pipeline.prefect.api("deployments/filter")
            for schedule in deployment["schedules"]
        )

    def planned(after: datetime) -> list[tuple[str, str]]:
        runs = pipeline.prefect.flow_runs(expected_start_time={"after_": after.isoformat()})
        return [(run["deployment_id"], run["expected_start_time"]) for run in runs if run["auto_scheduled"]]

    def are_all_planned() -> bool:
        return {deployment for deployment, _ in planned(datetime.now(UTC))} == {name for name, _, _ in before}

    def deploy() -> None:
        pipeline.prefect.command("prefect", "--no-prompt", "deploy", "--all")

    seconds = 90
    deploy()
    before = schedules()
    wait_until(are_all_planned, seconds=seconds, what="planned runs of each deployment")
    ticks = planned(datetime.now(UTC))
    deploy()
    # A tick that comes due while nothing is planned never comes back: these come due when everything is.
    later = datetime.now(UTC) + timedelta(seconds=seconds)
    wanted = {(deployment, tick) for deployment, tick in ticks if datetime.fromisoformat(tick) >= later}
    assert {deployment for deployment, _ in wanted} == {deployment for deployment, _, _ in before}
    wait_until(lambda: wanted <= set(planned(later)), seconds=seconds, what="the planned runs to be there again")
    assert schedules() == before
    assert len(before) == len({deployment for deployment, _, _ in before})
    starts = planned(datetime.now(UTC))
    assert len(starts) == len(set(starts))


def test_the_schedule_itself_starts_runs(installation: Installation) -> None:
    pipeline = installation.pipeline
    pipeline.tick_every(20, "poll_news")

    def scheduled_successes() -> bool:
        scheduled = {run["id"] for run in pipeline.prefect.flow_runs() if run["auto_scheduled"]}
        return sum(row["status"] == "success" for row in pipeline.log_rows() if row["execution_id"] in scheduled) >= 2

    wait_until(scheduled_successes, seconds=150, what="two successful runs that the schedule started")
