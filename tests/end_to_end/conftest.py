"""The pipeline as a user runs it: a real Prefect server, real workers, the sandbox over HTTP, a database of its own."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from deployments.server.automations import Changes, apply_automations
from flows.settings import Settings
from tests.support.held_job import HeldJob, held_job, held_server
from tests.support.made_once import made_once
from tests.support.prefect_server import PrefectServer, Process, running_prefect, wait_until
from tests.support.process_tree import command_lines
from tests.support.receiver import PASSWORD, Receiver, running_receiver
from tests.support.reconciled import leaves_no_row_open
from tests.support.sandbox_server import BUSY_MOMENT, RunningSandbox, running_sandbox

SENTINEL_KEY = "ank_sentinel_5b1d0c9e"


@dataclass
class Pipeline:
    """Everything of one installation, and how its user looks at it."""

    prefect: PrefectServer
    sandbox: RunningSandbox
    database: Path

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of the pipeline's database, read as a user of SQL would."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def execute(self, sql: str) -> None:
        """Change the pipeline's database behind its back."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(sql)

    def log_rows(self, job_name: str | None = None) -> list[dict[str, Any]]:
        """The execution log in order of time, with its JSON column read."""
        rows = self.query("SELECT * FROM scheduler_execution_log ORDER BY started_at, id")
        for row in rows:
            row["metadata"] = json.loads(row["metadata"])
        return [row for row in rows if job_name in (None, row["job_name"])]

    def run(self, deployment: str, *, parameters: dict[str, Any] | None = None) -> str:
        """Ask the server for a run now. Return its id: what `prefect deployment run` does, without its seconds."""
        flow_name, name = deployment.split("/")
        (found,) = self.prefect.api(
            "deployments/filter", flows={"name": {"any_": [flow_name]}}, deployments={"name": {"any_": [name]}}
        )
        return self.prefect.api(f"deployments/{found['id']}/create_flow_run", parameters=parameters or {})["id"]

    def wait_for_row(self, execution_id: str, *, seconds: float = 90) -> dict[str, Any]:
        """The log row of a run, once it is closed."""

        def closed() -> dict[str, Any] | None:
            rows = [row for row in self.log_rows() if row["execution_id"] == execution_id]
            return rows[0] if rows and rows[0]["status"] != "running" else None

        return wait_until(closed, seconds=seconds, what=f"a closed log row of run {execution_id}")

    def wait_for_state(self, flow_run_id: str, *types: str, seconds: float = 90) -> dict[str, Any]:
        """The flow run as Prefect knows it, once it is in a state of one of `types`."""

        def reached() -> dict[str, Any] | None:
            (run,) = self.prefect.flow_runs(id={"any_": [flow_run_id]})
            return run if run["state_type"] in types else None

        return wait_until(reached, seconds=seconds, what=f"run {flow_run_id} to be {' or '.join(types)}")

    def postpone_ticks(self) -> None:
        """Let every schedule tick almost one interval from now, so that no tick meets a run that a test asks for."""
        anchor = datetime.now(UTC) - timedelta(minutes=1)
        for deployment in self.prefect.api("deployments/filter"):
            self._reschedule(deployment, anchor, active=True)
        self._wait_for_plans(anchor)
        for run in self.prefect.flow_runs(expected_start_time={"before_": datetime.now(UTC).isoformat()}):
            if run["auto_scheduled"]:
                self.prefect.delete(f"flow_runs/{run['id']}")

    def tick_every(self, seconds: float, *flow_names: str) -> None:
        """Let the named flows tick every `seconds`, first in 5 s, and no other at all."""
        anchor = datetime.now(UTC) + timedelta(seconds=5)
        for deployment in self.prefect.api("deployments/filter"):
            is_chosen = deployment["entrypoint"].rsplit(".", 1)[1] in flow_names
            self._reschedule(deployment, anchor, active=is_chosen, interval=seconds)
        self._wait_for_plans(anchor)

    def lift_limit(self, flow_name: str) -> None:
        """Let several runs of the flow go on at once."""
        (found,) = self.prefect.api("deployments/filter", flows={"name": {"any_": [flow_name]}})
        self.prefect.change(f"deployments/{found['id']}", concurrency_limit=None)

    def apply_automations(self, receiver: Receiver) -> Changes:
        """Bring the automations to the deployments as they are now, which is a step of `vibecheck apply`."""

        async def apply_now() -> Changes:
            ours: dict[Any, Any] = {PREFECT_API_URL: self.prefect.api_url, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
            with temporary_settings(ours):
                async with get_client() as client:
                    settings = Settings.model_validate({"notification": receiver.apprise_url})
                    return await apply_automations(client, settings)

        return asyncio.run(apply_now())

    def _reschedule(self, deployment: dict[str, Any], anchor: datetime, *, active: bool, **rule: object) -> None:
        # A deployment by command does the same, in six seconds of processor time.
        (schedule,) = deployment["schedules"]
        self.prefect.change(
            f"deployments/{deployment['id']}/schedules/{schedule['id']}",
            active=active, schedule={**schedule["schedule"], **rule, "anchor_date": anchor.isoformat()},
        )  # fmt: skip

    def _wait_for_plans(self, anchor: datetime) -> None:
        """Wait until the server plans by the schedules that begin at `anchor`, and by no others.

        Its scheduler may be at work by the old ones just then: what it plans stays, and keeps new ticks from being
        planned.
        """
        for deployment in self.prefect.api("deployments/filter"):
            (schedule,) = deployment["schedules"]
            if schedule["active"]:
                interval = timedelta(seconds=schedule["schedule"]["interval"])
                wait_until(
                    lambda id_=deployment["id"], interval=interval: self._is_planned(id_, anchor, interval),
                    seconds=90, what="the ticks of the new schedule to be planned",
                )  # fmt: skip

    def _is_planned(self, deployment_id: str, anchor: datetime, interval: timedelta) -> bool:
        planned = self.prefect.api(
            "flow_runs/filter",
            deployments={"id": {"any_": [deployment_id]}},
            flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}, "tags": {"all_": ["auto-scheduled"]}},
        )
        off = [run for run in planned if (datetime.fromisoformat(run["expected_start_time"]) - anchor) % interval]
        for run in off:
            self.prefect.delete(f"flow_runs/{run['id']}")
        return len(planned) > len(off)


@dataclass(frozen=True)
class AppliedTemplate:
    """The files of a server and of a database to which everything is applied, to copy."""

    home: Path
    database: Path


@pytest.fixture(scope="session")
def applied_template(tmp_path_factory: pytest.TempPathFactory, prefect_template: Path) -> AppliedTemplate:
    def apply(folder: Path) -> None:
        environment = {"VIBECHECK_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'vibecheck.db'}"}
        with running_prefect(folder, prefect_template, environment) as prefect:
            prefect.command("deployments", "apply")

    folder = made_once(tmp_path_factory, "applied-template", apply)
    return AppliedTemplate(folder / "home", folder / "vibecheck.db")


@pytest.fixture
def pipeline(tmp_path: Path, applied_template: AppliedTemplate) -> Iterator[Pipeline]:
    """A server with everything applied, and no worker yet: a test starts its own."""
    with applied_pipeline(tmp_path, applied_template) as applied:
        yield applied


@pytest.fixture
def receiver(pipeline: Pipeline) -> Iterator[Receiver]:
    """Where this installation's alarms go, from the next process and the next apply on."""
    with running_receiver() as receiver:
        pipeline.prefect.environment["VIBECHECK_NOTIFICATION"] = receiver.apprise_url
        yield receiver


@dataclass
class Installation:
    """A pipeline that the tests of one module share, and its one worker."""

    pipeline: Pipeline
    worker: Process


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, applied_template: AppliedTemplate) -> Iterator[Installation]:
    """One installation with a worker for a whole module: starting one costs more than most tests do."""
    with applied_pipeline(tmp_path_factory.mktemp("installation"), applied_template) as pipeline:
        yield Installation(pipeline, pipeline.prefect.start_worker("vibecheck"))


@pytest.fixture(scope="module")
def held_jobs_server(tmp_path_factory: pytest.TempPathFactory, prefect_template: Path) -> Iterator[PrefectServer]:
    """A server for the `job` of each test of a module, one after the other."""
    with held_server(tmp_path_factory.mktemp("server"), prefect_template) as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, held_jobs_server: PrefectServer) -> Iterator[HeldJob]:
    """A job whose runs end when the test lets them, and no worker yet."""
    with held_job(tmp_path, held_jobs_server) as job:
        yield job


@contextmanager
def applied_pipeline(folder: Path, template: AppliedTemplate) -> Generator[Pipeline]:
    """An installation in `folder`, as applied to `template`. No tick comes in its first minutes.

    Whatever a test does with it: no secret is among the arguments of a process or in a file, which its databases and
    everybody's logs are.
    """
    database = folder / "vibecheck.db"
    shutil.copyfile(template.database, database)
    with running_sandbox(as_of=BUSY_MOMENT) as sandbox:
        environment = {
            "ASKNEWS_API_URL": sandbox.base_url,
            "ASKNEWS_API_KEY": SENTINEL_KEY,
            "VIBECHECK_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
            "VIBECHECK_REQUESTS_PER_SECOND": "100",
            "VIBECHECK_DATA_DIRECTORY": str(folder / "data"),
            # Rescheduled deployments get their runs from this loop alone, which comes once a minute by itself.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        }
        with running_prefect(folder, template.home, environment) as prefect:
            pipeline = Pipeline(prefect, sandbox, database)
            pipeline.postpone_ticks()
            yield pipeline
            arguments = command_lines()
            leaves_no_row_open(prefect, database)
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert str(database) in files
    for secret in (SENTINEL_KEY.encode(), PASSWORD.encode()):
        assert [place for place, content in {**arguments, **files}.items() if secret in content] == []
