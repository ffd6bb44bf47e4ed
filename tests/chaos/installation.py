"""A whole installation on this machine: what is started, how it is asked around its proxy, and what of it is alive."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import URL, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.database.postgresql_server import run_statements
from tests.database.proxy import Proxy, proxied
from tests.support.ports import free_port
from tests.support.prefect_server import FROM_TEMPLATE, PrefectServer, Process, wait_until
from tests.support.process_tree import processes_below
from tests.support.receiver import Receiver, running_receiver

INTERVALS = {"poll_news": 10.0, "poll_stories": 30.0, "pipeline_status": 15.0}
POLLING_WORKERS = ["worker 1", "worker 2"]
WORKERS = [*POLLING_WORKERS, "watchdog"]
# Of a seed's hour after this one is the news that the sandbox has.
FIRST_NEWS = datetime(2026, 8, 25, tzinfo=UTC)
# The news has been polled until now; and whenever its position goes back, that is noted.
PREPARED = (
    "INSERT INTO cursors (job_name, scope, watermark, settled_until, swept_at)"
    " VALUES ('poll_news', '', now(), now(), now())",
    "CREATE TABLE went_back (was timestamptz, became timestamptz)",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO went_back VALUES (OLD.watermark, NEW.watermark); RETURN NEW; END $$",
    "CREATE TRIGGER note BEFORE UPDATE ON cursors FOR EACH ROW"
    " WHEN (NEW.watermark < OLD.watermark AND NEW.job_name = 'poll_news') EXECUTE FUNCTION note()",
)


@dataclass
class Installation:
    """What is running, by its role."""

    prefect: PrefectServer
    url: str
    proxy: Proxy
    receiver: Receiver
    news_from: int
    sandbox_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    running: dict[str, Process] = field(default_factory=dict[str, Process])
    disturbed: set[str] = field(default_factory=set[str])
    """Whom a disturbance has now: no other one begins with it."""

    def start(self, role: str, environment: Mapping[str, str] | None = None) -> None:
        """Start what plays `role`."""
        pool = "vibecheck" if role in POLLING_WORKERS else "vibecheck-status"
        match role:
            case "server":
                self.prefect.start()
                assert self.prefect.server is not None
                self.running[role] = self.prefect.server
                return
            case "sandbox":
                arguments = ["tests.chaos.sandbox", str(self.sandbox_port), str(self.news_from)]
            case "health":
                arguments = ["deployments", "health", "--port", str(self.health_port)]
            case _:
                arguments = ["deployments", "worker", "--pool", pool, "--name", role]
        self.running[role] = self.prefect.spawn(role, "-m", *arguments, environment=environment)
        if role == "sandbox":
            wait_until(self._is_sandbox_there, seconds=60, what="the sandbox")

    def _is_sandbox_there(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.sandbox_port)):
            return True
        return False

    async def rows(self, sql: str) -> list[Mapping[str, Any]]:
        """What the database answers, asked without the proxy."""
        engine = create_async_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(text(sql))).mappings()]

    async def ask_sandbox(self, method: str, path: str, **options: Any) -> Any:
        """The answer of one of the sandbox's own routes. Raises httpx.HTTPError."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.sandbox_port}/_sandbox/", timeout=30) as client:
            answer = await client.request(method, path, **options)
            return answer.raise_for_status().json() if answer.content else None

    def going(self, flow_name: str) -> list[int]:
        """The processes of a flow's runs that are running. Raises httpx.HTTPError."""
        running = {"state": {"type": {"any_": ["RUNNING"]}}}
        runs = self.prefect.api("flow_runs/filter", flows={"name": {"any_": [flow_name]}}, flow_runs=running)
        return [pid for run in runs if (pid := self.prefect.process_of_run(run["id"]))]

    def worker_of(self, process_id: int) -> str | None:
        """The role of the worker that executes a run; None if that worker has ended."""
        below = {role: processes_below(self.running[role].popen.pid) for role in POLLING_WORKERS}
        return next((role for role, processes in below.items() if process_id in processes), None)

    def runs(self) -> list[int]:
        """The processes of all runs that are not stopped."""
        runs = [process_id for process_id, name in self.processes().items() if name.startswith("run ")]
        return [each for each in runs if ") T " not in _read(f"/proc/{each}/stat")]

    def processes(self) -> dict[int, str]:
        """Every process of this installation that is alive, with its name."""
        ours = f"\0PREFECT_HOME={self.prefect.folder / 'home'}\0"
        everything = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
        return {each: _read(f"/proc/{each}/comm") for each in everything if ours in _read(f"/proc/{each}/environ")}

    def costs(self) -> dict[str, tuple[int, int]]:
        """How many descriptors and megabytes each role's process has."""
        pids = {role: process.popen.pid for role, process in self.running.items() if process.popen.poll() is None}
        pages = {role: int(_read(f"/proc/{pid}/statm").split()[1]) for role, pid in pids.items()}
        return {role: (len(list(Path(f"/proc/{pid}/fd").iterdir())), pages[role] // 256) for role, pid in pids.items()}

    def let_tick(self) -> None:
        """Let each job tick at its interval, from 5 s on; and a run that never starts keep its slot for a minute."""
        anchor = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
        for deployment in self.prefect.api("deployments/filter"):
            job = deployment["entrypoint"].rsplit(".", 1)[1]
            (schedule,) = deployment["schedules"]
            rule = {**schedule["schedule"], "interval": INTERVALS[job], "anchor_date": anchor}
            self.prefect.change(f"deployments/{deployment['id']}/schedules/{schedule['id']}", schedule=rule)
            options = {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60}
            # Each poll of the news reaches back over what is indexed late.
            parameters = {"overlap_minutes": 1} if job == "poll_news" else {}
            self.prefect.change(f"deployments/{deployment['id']}", concurrency_options=options, parameters=parameters)


@asynccontextmanager
async def installed(folder: Path, server: URL, seed: int) -> AsyncGenerator[Installation]:
    """An installation in which all is running; all is stopped afterwards."""
    await asyncio.to_thread(run_statements, server, "CREATE DATABASE chaos")
    url = server.set(database="chaos").render_as_string(hide_password=False)
    prefect = PrefectServer(folder, dict.fromkeys(FROM_TEMPLATE, "true"))
    ours: dict[Any, Any] = {PREFECT_API_URL: prefect.api_url}
    async with proxied(url) as (proxy, through_proxy):
        with running_receiver() as receiver, temporary_settings(ours):
            news_from = int(time.time() - FIRST_NEWS.timestamp()) - 3600 * seed
            here = Installation(prefect, url, proxy, receiver, news_from)
            prefect.environment |= {
                "ASKNEWS_API_URL": f"http://127.0.0.1:{here.sandbox_port}",
                "ASKNEWS_API_KEY": "ank_chaos",
                "VIBECHECK_DATABASE_URL": through_proxy,
                "VIBECHECK_REQUESTS_PER_SECOND": "100",
                "VIBECHECK_MONTHLY_CREDITS": "100000000",
                "VIBECHECK_NOTIFICATION": receiver.apprise_url,
                "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
                "PREFECT_WORKER_PREFETCH_SECONDS": "1",
                "PREFECT_WORKER_QUERY_SECONDS": "1",
            }
            try:
                for role in ("sandbox", "server"):
                    await asyncio.to_thread(here.start, role)
                await asyncio.to_thread(prefect.command, "deployments", "apply")
                for name in FROM_TEMPLATE:
                    del prefect.environment[name]
                await asyncio.to_thread(run_statements, make_url(url), *PREPARED)
                await asyncio.to_thread(here.let_tick)
                for role in ("health", *WORKERS):
                    here.start(role)
                yield here
            finally:
                await asyncio.to_thread(prefect.stop_all)
                for process_id in here.processes():
                    with suppress(ProcessLookupError):
                        os.kill(process_id, signal.SIGKILL)


def _read(path: str) -> str:
    """What Linux tells of a process; nothing if it is gone."""
    with suppress(OSError):
        return Path(path).read_text(errors="replace")
    return ""
