"""One of the two loses everything, Prefect's server or the pipeline's database: the other one's word is kept."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.held_job import POOL, HeldJob
from tests.support.prefect_server import PrefectServer
from tests.support.process_tree import kill_machine

pytestmark = pytest.mark.end_to_end


def test_rows_are_written_again_into_an_emptied_database(job: HeldJob) -> None:
    job.deploy(every=None)
    job.start_worker()
    done = job.ask_for_run()
    job.wait_for_success(done)
    with closing(sqlite3.connect(job.database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if "version" not in table:
                connection.execute(f'DELETE FROM "{table}"')  # noqa: S608  # the database's own names
    assert job.rows() == []

    job.reconcile_until(lambda: job.closed_row(done), what="the row of the run that had ended")
    job.wait_for_success(done)
    job.wait_for_success(job.ask_for_run())
    assert job.verify().is_complete


@pytest.mark.leaves("child process")  # the server that it starts again is the module's
def test_rows_outlive_a_server_that_has_lost_everything(job: HeldJob, prefect_template: Path) -> None:
    job.deploy(every=None)
    worker = job.start_worker()
    done = job.ask_for_run()
    job.wait_for_success(done)
    job.hold()
    going = job.ask_for_run()
    job.wait_until_started(2)
    kill_machine(worker)
    row_of_done = job.row(done)

    wipe(job.prefect, prefect_template)
    job.deploy(every=None)
    row = job.reconcile_until(lambda: job.closed_row(going), what="the row of the lost run to be closed")
    assert (row["status"], row["closed_by"], row["metadata"]["reason"]) == ("failure", "reconciler", "lost")
    assert job.row(done) == row_of_done

    job.release()
    job.start_worker()
    job.wait_for_success(job.ask_for_run())
    assert job.verify().is_complete
    before = job.rows()
    job.reconcile()
    assert job.rows() == before


def wipe(server: PrefectServer, template: Path) -> None:
    """End the server, and start one in its place that knows nothing but the work pool."""
    assert server.server is not None
    server.server.kill_group()
    shutil.rmtree(server.folder / "home")
    shutil.copytree(template, server.folder / "home")
    server.start()
    server.api("work_pools/", name=POOL, type="process")
