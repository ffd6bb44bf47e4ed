"""A project of its own with a `vibecheck worker` that forks its runs, on a real server: for the end-to-end tests."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.prefect_server import WORKER_QUERIES, PrefectServer, Process, running_prefect, wait_until

POOL = "vibecheck"
STEP = "prefect.deployments.steps.set_working_directory"
# Each flow leaves what it has to say in a file that is named after its run.
JOBS = '''
import asyncio, json, multiprocessing, os, random, resource, signal, sqlite3, subprocess, sys, threading, time, uuid
from pathlib import Path

from prefect import flow, get_run_logger, runtime
from prefect.settings import get_current_settings

VERSION = 1


def say(**facts):
    Path(f"{runtime.flow_run.id}.json").write_text(json.dumps(facts))


def note_hook(flow, flow_run, state):
    facts = {"pid": os.getpid(), "parent": os.getppid(), "state": state.name}
    Path(f"{flow_run.id}.hook").write_text(json.dumps(facts))


hooks = {"on_crashed": [note_hook], "on_cancellation": [note_hook]}


@flow(**hooks)
async def facts(text="", wait=False, fail=False, code=None):
    say(
        version=VERSION, text=text, pid=os.getpid(), parent=os.getppid(), session=os.getsid(0), folder=os.getcwd(),
        variable=os.environ.get("JOB_VARIABLE"), retries=get_current_settings().client.max_retries,
        random=random.random(), uuid=str(uuid.uuid4()), threads=threading.active_count(),
        main=sys.modules["__main__"].__spec__.name,
    )
    get_run_logger().info("said %s", text)
    print("printed", text)
    while wait:
        await asyncio.sleep(0.05)
        wait = not Path("release").exists()
    if fail:
        raise ValueError("as asked")
    if code is not None:
        os._exit(code)


@flow(timeout_seconds=1)
async def too_slow():
    await asyncio.sleep(60)


@flow
def greedy():
    """Ask for more memory than its process may have."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + 256 * 2**20, resource.RLIM_INFINITY))
    bytearray(2**30)


@flow
def busy():
    """Threads, processes and an event loop of the flow's own."""
    path = Path(f"{runtime.flow_run.id}.thread")

    def late():
        time.sleep(0.5)
        path.touch()

    threading.Thread(target=late).start()
    numbers = {}
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            numbers[method] = pool.map(abs, [-1, -2])
    echoed = subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout
    looped = asyncio.run(asyncio.sleep(0, "looped"))
    # What a pool that is done does, now and then, to a process of its that has not begun yet.
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    child = os.fork()
    if child == 0:
        os._exit(0)
    ended_early = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    say(numbers=numbers, echoed=echoed, looped=looped, ended_early=ended_early)


@flow
async def databases(postgresql=None):
    import asyncpg
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    found = []
    for url in filter(None, ("sqlite+aiosqlite:///jobs.db", postgresql)):
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            found.append((await connection.execute(text("SELECT 41 + 1"))).scalar_one())
        await engine.dispose()
    say(found=found)
'''


@dataclass
class ForkedProject:
    """The server, the folder of the flows, and the workers that were started."""

    prefect: PrefectServer
    folder: Path
    workers: list[Process] = field(default_factory=list[Process])

    def start_worker(self) -> Process:
        """Start a worker in the project's folder, and wait until it has polled."""
        polled = self.folder / f"polled-{len(self.workers)}"
        worker = self.prefect.spawn(
            "worker", "-m", "deployments", "worker", "--pool", POOL, "--polled-file", str(polled),
            environment=WORKER_QUERIES, folder=self.folder,
        )  # fmt: skip
        self.workers.append(worker)
        wait_until(polled.exists, seconds=60, what="the worker's first poll")
        return worker

    def deploy(self, flow: str, *, directory: str = ".", **more: Any) -> str:
        """Deploy a flow of `jobs.py`, as prefect.yaml deploys this project's. Return the deployment's id."""
        flow_id = self._answered("flows/", name=flow.replace("_", "-"))["id"]
        settings: dict[str, Any] = {
            "entrypoint": f"jobs.{flow}",
            "pull_steps": [{STEP: {"directory": directory}}],
            "job_variables": {"working_dir": "."},
        } | more
        name = f"{flow}-{os.urandom(4).hex()}"
        return self._answered("deployments/", name=name, flow_id=flow_id, work_pool_name=POOL, **settings)["id"]

    def ask(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run at once. Return its id."""
        return self._answered(f"deployments/{deployment}/create_flow_run", parameters=parameters)["id"]

    def _answered(self, path: str, **body: Any) -> dict[str, Any]:
        """POST until the server answers: it says 503 while its own services hold SQLite's lock."""

        def answer() -> dict[str, Any] | None:
            with suppress(httpx.HTTPStatusError):
                return self.prefect.api(path, **body)
            return None

        return wait_until(answer, seconds=30, what=f"the server to answer {path}")

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Execute a run that completes. Return what it said."""
        run = self.ask(deployment, **parameters)
        self.wait_for(run, "COMPLETED")
        return self.said(run)

    def wait_for(self, run: str, *types: str) -> dict[str, Any]:
        """The run, once its state is of one of `types`."""

        def reached() -> dict[str, Any] | None:
            (found,) = self.prefect.flow_runs(id={"any_": [run]})
            ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} - set(types)
            assert found["state_type"] not in ended, (found["state"], self.workers[-1].output())
            return found if found["state_type"] in types else None

        return wait_until(reached, seconds=60, what=f"run {run} to be {' or '.join(types)}")

    def said(self, run: str, suffix: str = "json") -> dict[str, Any]:
        """What a run, or its hook, has said so far."""
        file = self.folder / f"{run}.{suffix}"

        def content() -> dict[str, Any] | None:
            return json.loads(file.read_text() or "null") if file.exists() else None

        return wait_until(content, seconds=60, what=f"{file.name}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name that the workers have logged."""
        lines = [
            line for worker in self.workers for line in worker.output().splitlines() if f'"event": "{name}"' in line
        ]
        return [json.loads(line) for line in lines]


@contextmanager
def forked_project(folder: Path, template: Path) -> Generator[ForkedProject]:
    """A project in `folder` on a new server, without a worker yet."""
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "jobs.py").write_text(JOBS)
    (project / "prefect.yaml").write_text(
        json.dumps({"deployments": [{"entrypoint": "jobs.facts", "work_pool": {"name": POOL}}]})
    )
    with running_prefect(folder, template, {}) as prefect:
        prefect.api("work_pools/", name=POOL, type="process")
        yield ForkedProject(prefect, project)
