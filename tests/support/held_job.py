"""A monitored job whose runs end when a test lets them, with a server, a database and workers of its own."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.verify import timeline
from flows.database.engine import create_engine
from flows.database.migrate import migrate
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import Reconciled
from flows.monitoring.verify.accounts import Account
from flows.monitoring.verify.verification import Verification, verify
from tests.support.prefect_server import WORKER_QUERIES, PrefectServer, Process, running_prefect, wait_until
from tests.support.reconciled import leaves_no_row_open, reconcile_once, with_server

JOB = "held_job"
POOL = "held"
T = TypeVar("T")
# It holds while there is a file `hold`, and does its work (a line in a file) only at its end.
FLOW = """
import asyncio
from pathlib import Path

from prefect import flow, runtime

from flows.monitoring.log.hooks import monitored
from flows.monitoring.log.misfire import misfire


@monitored
@flow(name="held_job")
async def held_job(misfire_grace_seconds: int = 60):
    if skipped := await misfire(misfire_grace_seconds):
        return skipped
    Path(f"started-{runtime.flow_run.id}").touch()
    while Path("hold").exists():
        await asyncio.sleep(0.1)
"""
# The scheduler plans 100 runs ahead of a job this frequent: too many for a test that waits until they are used up.
PLANS_LITTLE = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT1S",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
}


@dataclass
class HeldJob:
    """The installation, and how a test looks at it and interferes."""

    prefect: PrefectServer
    folder: Path
    database: Path
    deployment_id: str = ""
    deployed_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def hold(self) -> None:
        """Runs that start from now on go on until `release`."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def deploy(self, *, every: float | None, misfire_grace_seconds: int = 60, delay: float = 20) -> None:
        """Deploy the job with its first tick in `delay` seconds (the scheduler needs a few), or without a schedule."""
        anchor = (datetime.now(UTC) + timedelta(seconds=delay)).isoformat()
        flow = self.prefect.api("flows/", name=JOB)
        schedules = [{"slug": "held", "schedule": {"interval": every, "anchor_date": anchor}}] if every else []
        deployment = self.prefect.api(
            "deployments/", name="scheduled", flow_id=flow["id"], work_pool_name=POOL, entrypoint="held.py:held_job",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}],
            job_variables={"working_dir": str(self.folder)}, tags=["monitored", "supervised"], schedules=schedules,
            concurrency_limit=1,
            # A run that never starts keeps its slot for this long, the shortest that there is; by default 300 s.
            concurrency_options={"collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60},
            parameters={"misfire_grace_seconds": misfire_grace_seconds},
        )  # fmt: skip
        self.deployment_id = deployment["id"]
        self.sync()

    def pause(self) -> None:
        self.prefect.api(f"deployments/{self.deployment_id}/pause_deployment")

    def ask_for_run(self) -> str:
        return self.prefect.api(f"deployments/{self.deployment_id}/create_flow_run")["id"]

    def start_worker(self) -> Process:
        """Start `vibecheck worker`, which forks its runs, and ends after those that it has."""
        return self._start_worker("deployments", "worker", "--pool", POOL)

    def start_prefects_worker(self) -> Process:
        """Start Prefect's own worker, which cuts off its runs when it is told to stop."""
        return self._start_worker("prefect", "worker", "start", "--pool", POOL, "--type", "process")

    def _start_worker(self, *arguments: str) -> Process:
        return self.prefect.spawn("worker", "-m", *arguments, environment=WORKER_QUERIES, folder=self.folder)

    def started_runs(self) -> set[str]:
        """The runs whose body has begun."""
        return {path.name.removeprefix("started-") for path in self.folder.glob("started-*")}

    def wait_until_started(self, count: int = 1, *, seconds: float = 90) -> set[str]:
        return wait_until(
            lambda: runs if len(runs := self.started_runs()) >= count else None,
            seconds=seconds, what=f"{count} run(s) to have started",
        )  # fmt: skip

    def wait_for_heartbeat(self, run_id: str) -> None:
        """Until the server has stored that the run is alive: from then on, its silence means something."""
        wanted = {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        }
        wait_until(
            lambda: self.prefect.api("events/filter", filter=wanted)["events"],
            seconds=60,
            what=f"a heartbeat of {run_id}",
        )

    def runs(self) -> dict[str, dict[str, Any]]:
        """The flow runs that were due by now, by id."""
        # A worker takes a run some seconds before it is due.
        due = {"expected_start_time": {"before_": (datetime.now(UTC) + timedelta(seconds=10)).isoformat()}}
        return {run["id"]: run for run in self.prefect.flow_runs(**due)}

    def active_runs(self) -> set[str]:
        """The runs that a worker has in its hands, or that it should have."""
        return self.runs_in("SCHEDULED", "PENDING", "RUNNING")

    def runs_in(self, *state_types: str) -> set[str]:
        return {id_ for id_, run in self.runs().items() if run["state_type"] in state_types}

    def rows(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM scheduler_execution_log ORDER BY started_at").fetchall()
        return [dict(row) | {"metadata": json.loads(row["metadata"])} for row in rows]

    def row(self, execution_id: str | UUID) -> dict[str, Any] | None:
        return next((row for row in self.rows() if row["execution_id"] == str(execution_id)), None)

    def closed_row(self, execution_id: str) -> dict[str, Any] | None:
        """The row of a run that has ended."""
        row = self.row(execution_id)
        return row if row is not None and row["status"] != "running" else None

    def wait_for_success(self, execution_id: str) -> None:
        """Wait until the run's row is closed. Fails unless it is a success."""
        row = wait_until(lambda: self.closed_row(execution_id), seconds=90, what=f"run {execution_id} to end")
        assert row["status"] == "success", row

    def execute(self, sql: str, *parameters: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(sql, parameters)

    def sync(self) -> None:
        with_server(self.prefect, self.database, sync_expectations)

    def reconcile(self, patience: Patience | None = None) -> Reconciled:
        """One round of the status flow's first two steps."""
        return with_server(self.prefect, self.database, partial(reconcile_once, patience=patience))

    def reconcile_until(
        self, condition: Callable[[], T | None], *, what: str, patience: Patience | None = None, seconds: float = 60
    ) -> T:
        """Reconcile again and again, as the status flow does, until `condition` holds."""

        def reconciled() -> T | None:
            self.reconcile(patience)
            return condition()

        return wait_until(reconciled, seconds=seconds, what=what)

    def verify(self) -> Verification:
        """Account for every tick since the deployment, none of which may still be open."""

        async def account(client: PrefectClient, engine: AsyncEngine) -> Verification:
            return await verify(client, engine, since=self.deployed_at, grace=timedelta())

        return with_server(self.prefect, self.database, account)

    def ticks(self, *, complete: bool = True) -> tuple[Account, ...]:
        """Every tick since the deployment. Fails, with a timeline, unless the log is `complete`."""
        verification = self.verify()
        assert verification.is_complete == complete, "\n".join(timeline(verification))
        (account,) = verification.jobs
        return account.ticks


@contextmanager
def held_server(folder: Path, template: Path) -> Generator[PrefectServer]:
    """A server for one job after the other."""
    with running_prefect(folder, template, PLANS_LITTLE) as prefect:
        # Its template is the worker's to fill in.
        prefect.api("work_pools/", name=POOL, type="process")
        yield prefect


@contextmanager
def held_job(folder: Path, prefect: PrefectServer) -> Generator[HeldJob]:
    """An empty database for the job, with nothing deployed and no worker yet, on a server that the last one had."""
    if not prefect.is_running():
        prefect.start()
    for kind in ("deployments", "flow_runs"):
        while left := prefect.api(f"{kind}/filter"):
            for each in left:
                prefect.delete(f"{kind}/{each['id']}")
    project = folder / "project"
    project.mkdir()
    (project / "held.py").write_text(FLOW)
    database = folder / "vibecheck.db"

    async def make_tables() -> None:
        engine = create_engine(f"sqlite+aiosqlite:///{database}")
        await migrate(engine)
        await engine.dispose()

    asyncio.run(make_tables())
    prefect.environment["VIBECHECK_DATABASE_URL"] = f"sqlite+aiosqlite:///{database}"
    prefect.environment["VIBECHECK_DATA_DIRECTORY"] = str(folder / "data")
    yield HeldJob(prefect, project, database)
    leaves_no_row_open(prefect, database)
