"""What the polls do when AskNews does not do what it should, seen through a real worker."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from deployments.sandbox import Fault
from tests.end_to_end.conftest import SENTINEL_KEY, Installation, Pipeline
from tests.support.prefect_server import wait_until

pytestmark = pytest.mark.end_to_end

NEWS = "/v1/news/search"


@pytest.fixture
def pipeline(installation: Installation) -> Iterator[Pipeline]:
    """The module's pipeline, as if nothing had been polled yet, and without the last test's faults."""
    installation.pipeline.execute("DELETE FROM cursors")
    yield installation.pipeline
    installation.pipeline.sandbox.clear_faults()


def test_a_429_is_waited_out_as_asked_and_the_run_is_a_success(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_faults(Fault(kind="rate_limited", path=NEWS, times=1, after=1, retry_after=2))
    row = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    assert row["status"] == "success"
    assert row["attempt"] == 1

    def logs() -> str | None:
        text = pipeline.prefect.command("prefect", "flow-run", "logs", row["execution_id"]).stdout
        return text if "request_retried" in text else None

    logged = wait_until(logs, seconds=30, what="the retry in the run's logs")
    assert "caused_by=RateLimited" in logged
    assert "asked_to_wait_seconds=2" in logged

    def tasks() -> list[tuple[int, str]]:
        runs = pipeline.prefect.api("task_runs/filter", flow_runs={"id": {"any_": [row["execution_id"]]}})
        return [(run["run_count"], run["state_type"]) for run in runs if run["state_type"] == "COMPLETED"]

    # Of its pages, the one that was asked for again is a task; the others cost Prefect nothing.
    assert wait_until(tasks, seconds=30, what="the task of the page that failed") == [(2, "COMPLETED")]
    assert row["metadata"]["pages"] > 1


def test_a_page_that_fails_costs_only_itself(pipeline: Pipeline) -> None:
    pipeline.execute("DELETE FROM articles")
    pipeline.sandbox.add_faults(Fault(kind="service_failed", path=NEWS, offset=10, times=4))
    row = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    assert row["status"] == "partial_failure"
    assert "Deferred to a later run." in row["error_message"]
    assert row["metadata"]["pages"] > 3
    (deferred,) = pipeline.query("SELECT * FROM deferred_pages")
    before = {row["article_id"] for row in pipeline.query("SELECT article_id FROM articles")}

    pipeline.sandbox.clear_faults()
    row = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    assert row["status"] == "success"
    assert not pipeline.query("SELECT * FROM deferred_pages")
    late = [
        row
        for row in pipeline.query("SELECT article_id, crawled_at FROM articles")
        if row["article_id"] not in before and row["crawled_at"] < deferred["window_end"]
    ]
    assert late, "the articles of the page that had failed"


def test_a_refused_key_fails_the_run_at_once_and_is_not_printed(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_faults(Fault(kind="unauthorized", path=NEWS, times="forever"))
    asked_before = len(pipeline.sandbox.requests)
    execution_id = pipeline.run("poll_news/scheduled")
    row = pipeline.wait_for_row(execution_id)
    assert row["status"] == "failure"
    assert row["attempt"] == 1
    assert "CredentialsRefused" in row["error_message"]
    assert len(pipeline.sandbox.requests) == asked_before + 1
    logs = pipeline.prefect.command("prefect", "flow-run", "logs", execution_id).stdout
    run = httpx.get(f"{pipeline.prefect.api_url}/flow_runs/{execution_id}").text
    for place in (str(row), logs, run, *(process.output() for process in pipeline.prefect.processes)):
        assert SENTINEL_KEY not in place


def test_bad_records_are_kept_aside_and_the_good_ones_are_stored(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_faults(Fault(kind="malformed_items", path=NEWS, items=3, times=1))
    row = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    counts = row["metadata"]
    assert row["status"] == "partial_failure"
    assert counts["rejected"] == counts["newly_rejected"] == 3
    assert counts["fetched"] == counts["inserted"] + counts["updated"] + counts["unchanged"] + 3
    assert len(pipeline.query("SELECT * FROM rejected_records WHERE kind = 'article'")) == 3


def test_a_plan_without_stories_is_a_feature_that_is_off(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_faults(Fault(kind="forbidden", path="/v1/stories", times="forever"))
    execution_id = pipeline.run("poll_stories/scheduled")
    row = pipeline.wait_for_row(execution_id)
    assert row["status"] == "success"
    assert row["metadata"]["feature"] == "off"
    assert pipeline.wait_for_state(execution_id, "COMPLETED")["state_name"] == "FeatureOff"


def test_an_inactive_subscription_fails_the_stories_poll(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_faults(Fault(kind="forbidden", path="/v1/stories", code=403011, times="forever"))
    row = pipeline.wait_for_row(pipeline.run("poll_stories/scheduled"))
    assert (row["status"], row["attempt"]) == ("failure", 1)
    assert "the subscription is inactive" in row["error_message"]


def test_a_killed_run_leaves_whole_pages_and_the_next_goes_on(pipeline: Pipeline) -> None:
    pipeline.execute("DELETE FROM articles")
    pipeline.sandbox.add_faults(Fault(kind="stalled", path=NEWS, offset=20, seconds=120, times=1))
    execution_id = pipeline.run("poll_news/scheduled")

    def stored() -> int:
        return pipeline.query("SELECT count(*) AS number FROM articles")[0]["number"]

    wait_until(lambda: stored() == 20, seconds=60, what="the two pages before the one that stalls")
    process_id = wait_until(
        lambda: pipeline.prefect.process_of_run(execution_id), seconds=10, what="the flow's own process"
    )
    os.kill(process_id, signal.SIGKILL)
    row = pipeline.wait_for_row(execution_id)
    assert row["status"] == "failure"
    assert row["closed_by"] == "hook"
    assert stored() == 20
    (cursor,) = pipeline.query("SELECT * FROM cursors WHERE job_name = 'poll_news'")
    assert cursor["next_offset"] == "20"

    pipeline.sandbox.clear_faults()
    again = pipeline.wait_for_row(pipeline.run("poll_news/scheduled"))
    assert again["status"] == "success"
    assert again["metadata"]["caught_up"] is True
    assert stored() == 20 + again["metadata"]["inserted"]
    (first,) = pipeline.query("SELECT min(crawled_at) AS first, max(crawled_at) AS last FROM articles")
    assert first["first"] < cursor["window_end"] < first["last"]


def test_a_poll_without_a_database_is_made_up_for_by_its_retry(pipeline: Pipeline) -> None:
    away = pipeline.database.with_suffix(".away")
    pipeline.database.rename(away)
    pipeline.database.mkdir()
    try:
        execution_id = pipeline.run("poll_news/scheduled")
        waits = {"id": {"any_": [execution_id]}, "state": {"name": {"any_": ["AwaitingRetry"]}}}
        wait_until(lambda: pipeline.prefect.flow_runs(**waits), seconds=90, what="the run to wait for its retry")
    finally:
        pipeline.database.rmdir()
        away.rename(pipeline.database)
    row = pipeline.wait_for_row(execution_id)
    assert (row["status"], row["attempt"]) == ("success", 2)
