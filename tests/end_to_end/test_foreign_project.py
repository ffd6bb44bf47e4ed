"""Another project's deployments, watched by their tag alone: told right, and not a run of hers started or stopped."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.foreign_project import POOL, POOL_WITHOUT_WORKER, ForeignProject
from tests.support.installed_wheel import installed_wheel
from tests.support.ports import free_port
from tests.support.prefect_server import running_prefect, wait_until
from tests.support.receiver import Receiver, running_receiver

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, prefect_template: Path, receiver: Receiver
) -> Iterator[ForeignProject]:
    """Her project deployed, the monitoring applied, her worker and ours started in her folder."""
    folder = tmp_path_factory.mktemp("foreign")
    installed = installed_wheel(folder)
    database = folder / "monitoring.db"
    ours = {
        "VIBECHECK_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "VIBECHECK_NOTIFICATION": receiver.apprise_url,
    }
    with running_prefect(folder, prefect_template, {"HOME": str(folder / "user")}) as prefect:
        project = ForeignProject(prefect, folder / "hers", installed / "python", database, ours)
        project.write()
        for pool in (POOL, POOL_WITHOUT_WORKER):
            prefect.api("work_pools/", name=pool, type="process")
        project.hers("prefect", "--no-prompt", "deploy", "--all")
        project.ours("apply", "--watch-only")
        project.start("hers", "prefect", "worker", "start", "--pool", POOL, "--type", "process", is_ours=False)
        project.start("ours", "vibecheck", "worker", "--pool", "vibecheck-status", is_ours=True)
        yield project


@pytest.fixture(scope="module")
def page(project: ForeignProject) -> str:
    """The address of the status page."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    project.start("health", "vibecheck", "health", "--port", str(port), is_ours=True)

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{address}/health").is_success
        return False

    wait_until(answers, seconds=60, what="the status page")
    return address


def test_a_foreign_project_is_watched_and_left_alone(project: ForeignProject, receiver: Receiver, page: str) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=20)).isoformat()
    late = project.run(
        "report/weekly",
        tags=["auto-scheduled"],
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": long_ago}},
    )
    (project.folder / "hold").touch()
    us, eu, nightly, count = (project.run(name) for name in ("load/us", "load/eu", "report/nightly", "count/scheduled"))

    assert project.wait_for_end(us, nightly, count) == ["FAILED", "COMPLETED", "COMPLETED"]
    project.wait_for_start(eu)
    project.judge()
    # Deleted while its run is going: the run ends as it would have, and nothing is expected of it any more.
    project.delete("load/eu")
    project.judge()
    assert project.rows()[eu]["status"] == "running"
    (project.folder / "hold").unlink()
    assert project.wait_for_end(eu) == ["COMPLETED"]
    project.judge()

    rows = project.rows()
    assert {id_: (row["job_name"], row["status"]) for id_, row in rows.items() if row["job_name"] != "count/big"} == {
        us: ("load/us", "failure"),
        eu: ("load/eu", "success"),
        nightly: ("report/nightly", "success"),
        count: ("count", "success"),
    }
    assert "us is closed" in rows[us]["error_message"]

    status = json.loads(project.ours("status", "--json", check=False))
    verdicts = {name: (job["status"], job["reason"]) for name, job in status["jobs"].items() if name != "count/big"}
    assert verdicts == {
        "pipeline_status": ("healthy", None),
        "load/us": ("unhealthy", "failing"),
        "report/nightly": ("healthy", None),
        "report/weekly": ("unhealthy", "no_worker"),
        "count": ("healthy", None),
        "sum {{ of/odd": ("not_started", None),
    }
    # One message or several, as the runs end before or between two judgements.
    told = "\n".join(receiver.bodies)
    assert "load/us" in told
    assert "report/weekly" in told
    assert "report/nightly" not in told
    # Late, and left to her: it is named, and it alone.
    verified = project.ours("verify", "--since", "1h", check=False)
    assert "Not complete: 1 not accounted for." in verified
    assert f"(run {late}): nothing has started it" in verified

    shown = httpx.get(page).text
    assert all(name in shown for name in ("load/us", "report/weekly", "count"))
    assert [word for word in ("AskNews", "credit", "poll_news") if word.lower() in shown.lower()] == []

    # Nothing of hers was started, cancelled or ended: what she asked for ran, what is planned is planned.
    runs = {run["id"]: run for run in project.runs()}
    assert late in runs
    assert {run["state_type"] for id_, run in runs.items() if id_ not in project.asked or id_ == late} == {"SCHEDULED"}


def test_a_result_of_5_megabytes_is_kept_in_part(project: ForeignProject, page: str) -> None:
    big = project.run("count/big")
    assert project.wait_for_end(big) == ["COMPLETED"]
    row = wait_until(lambda: project.ended_row(big), seconds=60, what="the row's end, which comes after the run's")
    assert (row["job_name"], row["status"]) == ("count/big", "success")
    assert (row["metadata"]["counted"], row["metadata"]["left_out"]) == (12, 1)
    assert len(json.dumps(row["metadata"])) < 16_000
    shown = httpx.get(page)
    assert shown.is_success
    assert "count/big" in shown.text
    assert len(shown.content) < 300_000
    assert httpx.get(f"{page}/health/scheduler").json()["jobs"]["count/big"]["status"] == "healthy"


def test_nothing_of_the_polls_is_there(project: ForeignProject) -> None:
    tables = {row["name"] for row in project.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not tables & {"articles", "stories", "cursors", "credit_periods", "alembic_version"}
    pools = {pool["name"] for pool in project.prefect.api("work_pools/filter")}
    assert pools == {POOL, POOL_WITHOUT_WORKER, "vibecheck-status"}
    server = json.dumps([project.prefect.api(f"{what}/filter") for what in ("deployments", "automations", "flows")])
    assert "asknews" not in server.lower()


def test_the_decorator_says_that_no_database_is_set(project: ForeignProject) -> None:
    (worker,) = [process for process in project.prefect.processes if process.log.name.startswith("hers")]
    assert "execution_log_not_configured" in worker.output()
    assert not list((project.prefect.folder / "user").rglob("vibecheck.db"))
