"""Every tick has one class, whatever kept it from running: another run, no worker, no server."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.held_job import HeldJob
from tests.support.prefect_server import wait_until

pytestmark = pytest.mark.end_to_end


def late_runs(job: HeldJob, *, seconds: float) -> list[str]:
    """The runs that nothing has started although they were due so long ago."""
    now = datetime.now(UTC)
    return [
        id_
        for id_, run in job.runs().items()
        if run["state_type"] == "SCHEDULED"
        and now - datetime.fromisoformat(run["expected_start_time"]) > timedelta(seconds=seconds)
    ]


def test_overlapping_and_late_ticks_are_skipped_with_reasons(job: HeldJob) -> None:
    job.deploy(every=8, misfire_grace_seconds=20)
    job.hold()
    worker = job.start_worker()
    (first,) = job.wait_until_started()
    # Two ticks come due while the first run is going.
    refused = wait_until(
        lambda: ids if len(ids := job.runs_in("CANCELLED")) >= 2 else None, seconds=60, what="refusals"
    )
    job.release()
    worker.stop()
    for execution_id in refused:
        assert job.row(execution_id) is None, "no code of ours ran"
    # More than once, since the server tells its time without fractions: what ended within this second comes next.
    job.reconcile_until(lambda: all(job.row(id_) for id_ in refused), what="rows of the refused runs")
    for execution_id in refused:
        row = job.row(execution_id)
        assert row is not None
        assert (row["status"], row["closed_by"], row["attempt"]) == ("skipped", "reconciler", 0)
        assert row["metadata"]["reason"] == "overlap"

    # The worker is away for several ticks. When it is back, the late runs do nothing, and one on time does the work.
    wait_until(lambda: len(late_runs(job, seconds=21)) >= 3, seconds=90, what="three runs to be too late")
    too_late = late_runs(job, seconds=21)
    before = job.started_runs()
    job.start_worker()
    (on_time, *_) = wait_until(lambda: job.started_runs() - before, seconds=90, what="a run on time")
    job.pause()
    wait_until(lambda: not job.active_runs(), seconds=90, what="the last run to end")
    # A person who retries a refused run, however late, wants its work to be done.
    retried = refused.pop()
    job.prefect.command("prefect", "flow-run", "retry", retried)
    wait_until(
        lambda: (job.row(retried) or {}).get("status") == "success", seconds=60, what="the retried run's success"
    )
    job.reconcile_until(lambda: job.verify().is_complete, what="a complete log")

    by_id = {str(tick.execution_id): tick for tick in job.ticks()}
    assert by_id[first].what == by_id[on_time].what == by_id[retried].what == "success"
    # Which of them got the slot, only to see that it is too late, is a race; the others were refused.
    for execution_id in {*refused, *too_late}:
        assert by_id[execution_id].what == "skipped"
        assert by_id[execution_id].reason in ("overlap", "misfire")
    assert {tick.what for tick in by_id.values()} == {"success", "skipped"}

    job.execute("DELETE FROM scheduler_execution_log WHERE execution_id = ?", first)
    (unaccounted,) = [tick for tick in job.ticks(complete=False) if tick.what == "unaccounted"]
    assert unaccounted.at == by_id[first].at
    assert "no row in the log" in (unaccounted.problem or "")
    job.reconcile_until(lambda: job.row(first), what="the row to be written again")
    again = {str(tick.execution_id): tick.what for tick in job.ticks()}
    # A run that was refused before it was due may have become a tick only since.
    assert {id_: again.get(id_) for id_ in by_id} == {id_: tick.what for id_, tick in by_id.items()}


def test_ticks_that_were_never_planned_are_missed(job: HeldJob) -> None:
    job.deploy(every=4)
    job.start_worker()
    job.wait_until_started()
    assert job.prefect.server is not None
    planned_until = max(run["expected_start_time"] for run in job.prefect.flow_runs())
    job.prefect.server.kill_group()
    away_from = datetime.fromisoformat(planned_until)
    done = job.prefect.command("deployments", "verify", check=False)
    assert done.returncode == 2
    assert "did not do it" in done.stderr
    wait_until(
        lambda: datetime.now(UTC) > away_from + timedelta(seconds=10), seconds=60, what="ticks that nobody plans"
    )

    job.prefect.start()
    started = job.started_runs()
    wait_until(lambda: job.started_runs() - started, seconds=120, what="the schedule to go on")
    job.pause()
    wait_until(lambda: not job.active_runs(), seconds=60, what="the last run to end")
    unaccounted = job.ticks(complete=False)
    without_run = {tick.at for tick in unaccounted if "the server has no run" in (tick.problem or "")}
    assert without_run
    job.reconcile_until(lambda: without_run <= missed_ticks(job), seconds=120, what="a row for each of these ticks")
    assert {tick.at for tick in job.ticks() if tick.what == "missed"} >= without_run
    before = job.rows()
    assert job.reconcile().missed == 0
    assert job.rows() == before


def missed_ticks(job: HeldJob) -> set[datetime]:
    missed = [row for row in job.rows() if row["status"] == "missed"]
    assert all(row["closed_by"] == "reconciler" and row["started_at"] == row["scheduled_for"] for row in missed)
    return {datetime.fromisoformat(f"{row['scheduled_for']}+00:00") for row in missed}
