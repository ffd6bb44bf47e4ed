"""Runs that are killed, gone, stuck or cut off: each row is closed, and the job goes on.

Nothing here waits as long as the real bounds, which are minutes: the reconciler is asked again and again, with little
patience.
"""

import os
import signal
import subprocess
from typing import Any

import pytest

from flows.monitoring.reconcile.lost_runs import Patience
from tests.support.held_job import HeldJob
from tests.support.prefect_server import PrefectServer, Process, wait_until
from tests.support.process_tree import kill_machine, processes_below

pytestmark = pytest.mark.end_to_end

# Runs send heartbeats every 30 s: no run that is alive may be judged with this.
IMPATIENT = Patience(pending_seconds=2, silent_seconds=2)


def kill_flow(worker: Process) -> None:
    """SIGKILL to the process in which the worker executes a flow: the one below it that has no children."""
    *_, leaf = processes_below(worker.popen.pid)
    os.kill(leaf, signal.SIGKILL)


def reconcile_until_closed(job: HeldJob, execution_id: str) -> dict[str, Any]:
    return job.reconcile_until(
        lambda: job.closed_row(execution_id), patience=IMPATIENT, what=f"the row of {execution_id} to be closed"
    )


def test_a_killed_run_is_closed_and_the_job_goes_on(job: HeldJob) -> None:
    job.deploy(every=None)
    worker = job.start_prefects_worker()
    job.hold()
    killed = job.ask_for_run()
    job.wait_until_started()
    kill_flow(worker)
    row = wait_until(lambda: job.closed_row(killed), seconds=60, what="the row of the killed flow to be closed")
    assert (row["status"], row["closed_by"], row["metadata"]["reason"]) == ("failure", "hook", "crashed")
    assert row["attempt"] == 1

    gone = job.ask_for_run()
    job.wait_for_heartbeat(gone)
    kill_machine(worker)
    row = reconcile_until_closed(job, gone)
    assert (row["status"], row["closed_by"], row["metadata"]["reason"]) == ("failure", "reconciler", "lost")
    assert "no sign of life" in row["error_message"]
    assert job.runs()[gone]["state_type"] == "CRASHED"

    job.release()
    job.start_prefects_worker()
    job.wait_for_success(job.ask_for_run())
    assert job.verify().is_complete


def test_a_run_that_never_starts_is_closed_and_the_job_goes_on(job: HeldJob) -> None:
    job.deploy(every=None)
    job.hold()
    worker = job.start_prefects_worker()
    cut_off = job.ask_for_run()
    job.wait_for_heartbeat(cut_off)
    worker.popen.terminate()
    try:
        worker.popen.wait(timeout=30)
    except subprocess.TimeoutExpired:
        kill_machine(worker)  # now and then, Prefect's worker does not come to its end
    assert job.runs()[cut_off]["state_type"] == "RUNNING"
    row = reconcile_until_closed(job, cut_off)
    assert (row["status"], row["closed_by"], row["metadata"]["reason"]) == ("failure", "reconciler", "lost")

    worker = job.start_prefects_worker()
    stuck = job.ask_for_run()
    wait_until(lambda: job.runs()[stuck]["state_type"] == "PENDING", seconds=60, what="the run to be pending")
    kill_machine(worker)
    assert job.runs()[stuck]["state_type"] == "PENDING"
    row = reconcile_until_closed(job, stuck)
    assert (row["status"], row["closed_by"], row["metadata"]["reason"]) == ("failure", "reconciler", "lost")
    assert (row["attempt"], row["started_at"]) == (0, row["scheduled_for"])
    assert "never started" in row["error_message"]

    job.release()
    job.start_prefects_worker()
    job.wait_for_success(job.ask_for_run())
    assert job.verify().is_complete
    before = job.rows()
    job.reconcile(IMPATIENT)
    assert job.rows() == before


def test_the_schedule_survives_a_cut_off_run_and_a_new_server(job: HeldJob) -> None:
    server = job.prefect
    job.hold()
    worker = job.start_prefects_worker()
    job.deploy(every=10)
    (going,) = job.wait_until_started()

    # A server that goes away for a while costs a run nothing (unless it is just renewing its lease, at its start).
    job.wait_for_heartbeat(going)
    restart(server)
    job.release()
    job.wait_for_success(going)

    cut_off = wait_until(lambda: job.runs_in("PENDING"), seconds=60, what="a run to be pending")
    kill_machine(worker)
    restart(server)
    started = job.started_runs()
    job.start_prefects_worker()
    # Nobody ends the lost run: its slot comes free because the server keeps leases on disk. From its memory the lease
    # would be gone, the slot taken for ever, and every run from now on refused.
    (again, *_) = wait_until(lambda: job.started_runs() - started - cut_off, seconds=150, what="the schedule to go on")
    job.wait_for_success(again)
    assert job.runs()[again]["auto_scheduled"]

    job.pause()
    wait_until(lambda: job.active_runs() <= cut_off, seconds=60, what="the last run to end")
    job.reconcile_until(lambda: not job.active_runs(), patience=IMPATIENT, what="the lost run to be ended")
    assert {"skipped", "success"} <= {tick.what for tick in job.ticks()}


def restart(server: PrefectServer) -> None:
    assert server.server is not None
    server.server.kill_group()
    server.start()
