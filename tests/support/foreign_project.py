"""Somebody else's Prefect project: her own flows, deployed and run by Prefect's own commands, and a wheel of ours."""

import json
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.support.prefect_server import WORKER_QUERIES, PrefectServer, Process, wait_until

# A folder `flows` without `__init__.py`, whose modules import each other from there.
# `load` goes on while there is a file `hold`.
FLOWS = """
import asyncio
from pathlib import Path

from prefect import flow

from flows.regions import CLOSED
from vibecheck import monitored


@flow
def part():
    return "done"


@flow
def report():
    part()


@flow
async def load(region):
    if region in CLOSED:
        raise RuntimeError(f"{region} is closed")
    while Path("hold").exists():
        await asyncio.sleep(0.1)


@monitored
@flow
def count(megabytes=0):
    return {"counted": 12, "all": ["x" * 1_000] * 1_000 * megabytes}


@flow(name="sum {{ of")
def odd():
    "Has a name that is a broken template."
"""
POOL, POOL_WITHOUT_WORKER = "hers", "hers-at-night"


def deployments(now: datetime, our_environment: dict[str, str]) -> list[dict[str, Any]]:
    """Her prefect.yaml's. No tick comes within the next half hour. One of them knows our database."""
    hourly = {"interval": 3600, "anchor_date": (now - timedelta(minutes=5)).isoformat(), "timezone": "UTC"}
    nightly = {"cron": f"0 {(now.hour + 12) % 24} * * *", "timezone": "UTC"}
    in_three_days = (now + timedelta(days=3)).strftime("%a")[:2].upper()
    weekly = {"rrule": f"DTSTART:20260101T060000Z\nRRULE:FREQ=WEEKLY;BYDAY={in_three_days}", "timezone": "UTC"}

    def entry(flow: str, name: str, schedule: dict[str, Any], *tags: str, **more: Any) -> dict[str, Any]:
        pool = {"name": POOL, **more.pop("work_pool", {})}
        return {
            "name": name, "entrypoint": f"flows/etl.py:{flow}", "schedules": [schedule], "tags": ["monitored", *tags],
            "work_pool": pool, **more,
        }  # fmt: skip

    return [
        entry("load", "us", hourly, "failing_after=1", "owner=data", parameters={"region": "us"}),
        entry("load", "eu", hourly, parameters={"region": "eu"}),
        entry("report", "nightly", nightly, "within=1h"),
        entry("report", "weekly", weekly, work_pool={"name": POOL_WITHOUT_WORKER}),
        entry("count", "scheduled", hourly),
        entry(
            "count", "big", hourly, parameters={"megabytes": 5}, work_pool={"job_variables": {"env": our_environment}}
        ),
        entry("odd", "odd", nightly, work_pool={"job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "?"}}}),
    ]


@dataclass
class ForeignProject:
    """Her project in `folder`, the wheel in an environment whose Python is `python`, and how both are used."""

    prefect: PrefectServer
    folder: Path
    python: Path
    database: Path
    our_environment: dict[str, str]
    asked: list[str] = field(default_factory=list[str])
    """The runs that a test asked for."""

    def write(self) -> None:
        (self.folder / "flows").mkdir(parents=True)
        (self.folder / "flows" / "etl.py").write_text(FLOWS)
        (self.folder / "flows" / "regions.py").write_text('CLOSED = {"us"}\n')
        content = {"name": "hers", "deployments": deployments(datetime.now(UTC), self.our_environment)}
        (self.folder / "prefect.yaml").write_text(yaml.safe_dump(content))

    def hers(self, *arguments: str) -> str:
        """Run a command of Prefect's in her folder, without a setting of ours."""
        return self._run(*arguments, environment={}, folder=self.folder).stdout

    def ours(self, *arguments: str, check: bool = True) -> str:
        """Run `vibecheck` as it is installed, in an empty folder."""
        empty = self.prefect.folder / "empty"
        empty.mkdir(exist_ok=True)
        return self._run("vibecheck", *arguments, environment=self.our_environment, folder=empty, check=check).stdout

    def start(self, name: str, *arguments: str, is_ours: bool) -> Process:
        """Start a process in her folder."""
        environment = {**WORKER_QUERIES, **(self.our_environment if is_ours else {})}
        return self.prefect.spawn(
            name, "-m", *arguments, environment=environment, folder=self.folder, python=self.python
        )  # fmt: skip

    def deployment_id(self, full_name: str) -> str:
        flow, name = full_name.rsplit("/", 1)
        (found,) = self.prefect.api(
            "deployments/filter", flows={"name": {"any_": [flow]}}, deployments={"name": {"any_": [name]}}
        )
        return found["id"]

    def run(self, full_name: str, **changes: Any) -> str:
        """Ask for a run, as a person does, and return its id."""
        self.asked.append(
            self.prefect.api(f"deployments/{self.deployment_id(full_name)}/create_flow_run", **changes)["id"]
        )
        return self.asked[-1]

    def wait_for_start(self, run_id: str) -> None:
        """Wait until a run is going."""

        def is_running() -> bool:
            (run,) = self.prefect.flow_runs(id={"any_": [run_id]})
            return run["state_type"] == "RUNNING"

        wait_until(is_running, seconds=120, what="her run to start")

    def delete(self, full_name: str) -> None:
        """Delete a deployment."""
        self.prefect.delete(f"deployments/{self.deployment_id(full_name)}")

    def wait_for_end(self, *run_ids: str) -> list[str]:
        """The types of the runs' final states."""

        def ended() -> list[str] | None:
            states = {run["id"]: run["state_type"] for run in self.prefect.flow_runs(id={"any_": list(run_ids)})}
            final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            return [states[id_] for id_ in run_ids] if final >= set(states.values()) else None

        return wait_until(ended, seconds=120, what="her runs to end")

    def runs(self) -> list[dict[str, Any]]:
        """The runs of her deployments, without the sub-flows in them."""
        ours = {flow["id"] for flow in self.prefect.api("flows/filter") if flow["name"] == "pipeline_status"}
        runs = self.prefect.flow_runs()
        return [run for run in runs if run["flow_id"] not in ours and run["parent_task_run_id"] is None]

    def judge(self) -> None:
        """Let the status flow do its work. While a run that its schedule started is going, another is refused."""
        while self.wait_for_end(self.run("pipeline_status/scheduled")) == ["CANCELLED"]:
            pass

    def query(self, sql: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Our log of her runs, by their ids."""
        rows = self.query("SELECT * FROM scheduler_execution_log WHERE job_name <> 'pipeline_status'")
        return {row["execution_id"]: row | {"metadata": json.loads(row["metadata"])} for row in rows}

    def ended_row(self, run_id: str) -> dict[str, Any] | None:
        """The row of a run, once that is closed."""
        row = self.rows().get(run_id)
        return row if row is not None and row["status"] != "running" else None

    def _run(
        self, *arguments: str, environment: dict[str, str], folder: Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.python, "-m", *arguments],
            env={**self.prefect.all_environment(), **environment, "COLUMNS": "200", "NO_COLOR": "1"},
            cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done
