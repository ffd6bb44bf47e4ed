"""The compose project that `tests.drill` breaks. The standard library alone, for any machine with docker."""

import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "vibecheck-drill"
# Often enough that each item meets runs, and seldom enough for a small machine.
INTERVALS = {"interval: 300": "interval: 120", "interval: 900": "interval: 120", "interval: 3600": "interval: 180"}
# A lost run is ended after 10 minutes at most, and the status flow needs a tick or two to write it down.
SETTLE_SECONDS = 900
# What docker-compose.yml reads or compose itself obeys. The operator's own values are for another installation.
NOT_OURS = (
    *("ASKNEWS_", "BIND_ADDRESS", "COMPOSE_", "HEALTH_PORT", "POSTGRES_", "PREFECT_", "REDIS_", "SERVER_"),
    *("VIBECHECK_", "WORKERS"),
)


class DrillFailed(Exception):
    """Something was not as it must be; the text says what."""


class Stack:
    """The compose project of the drill."""

    def __init__(self, folder: Path, image: str) -> None:
        self.server_port, self.health_port = free_port(), free_port()
        prefect_file = (ROOT / "prefect.yaml").read_text()
        for slow, fast in INTERVALS.items():
            prefect_file = prefect_file.replace(slow, fast)
        quick = folder / "prefect.yaml"
        quick.write_text(prefect_file)
        quick.chmod(0o644)
        folder.chmod(0o755)
        names = "POSTGRES_PASSWORD", "POSTGRES_PREFECT_PASSWORD", "POSTGRES_VIBECHECK_PASSWORD"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)},
            **{
                name: secrets.token_hex(24)
                for name in (*names, "POSTGRES_HEALTH_PASSWORD", "REDIS_PASSWORD", "SERVER_PASSWORD")
            },
            "SERVER_ENCRYPTION_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "PREFECT_PORT": str(self.server_port),
            "HEALTH_PORT": str(self.health_port),
            "VIBECHECK_IMAGE": image,
            "VIBECHECK_NOT_STARTED_IS_HEALTHY": "true",
            "DRILL_PREFECT_FILE": str(quick),
            # Nothing of the operator's own .env or overrides.
            "COMPOSE_ENV_FILES": os.devnull,
            "COMPOSE_FILE": f"{ROOT}/docker-compose.yml:{ROOT}/tests/drill/drill.yml",
            "COMPOSE_PROJECT_NAME": PROJECT,
        }
        self.started_at = ""
        self.disturbed = set[str]()
        self.problems = ""

    def docker(self, *arguments: str, seconds: float = 1200) -> str:
        """The output of `docker arguments…`; raises DrillFailed when it fails."""
        done = subprocess.run(  # the drill's own words
            ["docker", *arguments],  # wherever docker is
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DrillFailed(f"docker {' '.join(arguments)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def compose(self, *arguments: str) -> str:
        """The output of `docker compose arguments…`."""
        return self.docker("compose", *arguments)

    def operate(self, *arguments: str) -> str:
        """The output of a command inside the status worker's container, which no item breaks."""
        return self.compose("exec", "-T", "worker-status", *arguments)

    def sql(self, database: str, query: str) -> list[str]:
        """The first column of `query`'s rows."""
        output = self.compose("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", database, "-Atc", query)
        return output.splitlines()

    def run(self, job: str) -> str:
        """Ask for a run of `job` now. Return its id, which is also its `execution_id`."""
        output = self.operate("prefect", "deployment", "run", f"{job}/scheduled")
        return next(line.split()[-1] for line in output.splitlines() if "UUID:" in line)

    def state(self, run_id: str) -> str:
        """The run's state in Prefect."""
        query = f"SELECT state_type FROM flow_run WHERE id = '{run_id}'"  # noqa: S608  # a UUID of Prefect's
        return self.sql("prefect", query)[0]

    def row(self, run_id: str) -> str:
        """The status of the run's row in the execution log, or nothing."""
        query = f"SELECT status FROM scheduler_execution_log WHERE execution_id = '{run_id}'"  # noqa: S608  # as above
        rows = self.sql("vibecheck", query)
        return rows[0] if rows else ""

    def successes(self, job: str) -> int:
        """How many runs of `job` the execution log calls a success."""
        query = f"SELECT count(*) FROM scheduler_execution_log WHERE job_name = '{job}' AND status = 'success'"  # noqa: S608  # our name
        return int(self.sql("vibecheck", query)[0])

    def workers_of_runs(self) -> str:
        """How many runs each worker has executed."""
        query = (
            "SELECT labels ->> 'prefect.worker.name' AS worker, count(*) FROM flow_run WHERE run_count > 0 GROUP BY 1"
        )
        return ", ".join(self.sql("prefect", query))

    def start_run(self) -> str:
        """Wait for a news poll that has just begun. Return its id. The schedule may have started it."""
        query = "SELECT r.id FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'poll_news'"
        started: list[str] = []

        def going() -> bool:
            started[:] = self.sql("prefect", f"{query} AND r.state_type = 'RUNNING'")
            return bool(started)

        # One that was going before may be at its end.
        wait(lambda: not going(), 300, "the news poll before to end")
        self.run("poll_news")
        wait(going, 180, "a news poll to be running")
        return started[0]

    def slow(self, seconds: float) -> None:
        """Let the sandbox take `seconds` for each page of news; 0 makes it quick again."""
        self.ask_sandbox("DELETE", "faults")
        if seconds:
            fault = {"kind": "slow", "path": "/v1/news/search", "times": "forever", "seconds": seconds}
            self.ask_sandbox("POST", "faults", [fault])

    def ask_sandbox(self, method: str, path: str, body: object = None) -> str:
        """The answer of one of the sandbox's own routes."""
        script = (
            "import sys,urllib.request as u;"
            "method,path,body=sys.argv[1:];"
            "url='http://127.0.0.1:8000/_sandbox/'+path;"
            "asked=u.Request(url,body.encode(),{'content-type':'application/json'},method=method);"
            "print(u.urlopen(asked).read().decode())"
        )
        sent = "" if body is None else json.dumps(body)
        return self.compose("exec", "-T", "sandbox", "python", "-c", script, method, path, sent)

    def container(self, service: str) -> str:
        """The id of the service's (first) container."""
        return self.compose("ps", "-q", service).split()[0]

    def unhealthy(self) -> list[str]:
        """The ids of the project's containers that their healthcheck calls unhealthy."""
        label = f"label=com.docker.compose.project={PROJECT}"
        return self.docker("ps", "--quiet", "--filter", label, "--filter", "health=unhealthy").split()

    def services_of(self, image: str) -> list[str]:
        """The running services whose container is of `image`."""
        lines = self.docker(
            "ps", "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"ancestor={image}",
            "--format", '{{.Label "com.docker.compose.service"}}',
        )  # fmt: skip
        return lines.split()

    def get(self, port: int, path: str) -> int:
        """The HTTP status of a published port, as a monitor outside sees it; 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def complete(self) -> bool:
        """Whether `vibecheck verify` finds every tick and every run accounted for."""
        try:
            self.operate("vibecheck", "verify", "--since", self.started_at, "--grace", "90s")
        except DrillFailed as failure:
            self.problems = str(failure)
            return False
        return True

    def verify(self) -> None:
        """Wait until the log is complete, and check that no run was executed twice."""
        try:
            wait(self.complete, SETTLE_SECONDS, "a complete log", every=15)
        except DrillFailed:
            raise DrillFailed(f"The log is not complete:\n{self.problems}") from None
        twice = self.sql(
            "prefect",
            "SELECT flow_run_id FROM flow_run_state GROUP BY 1 HAVING count(*) FILTER (WHERE type = 'RUNNING')"
            " > 1 + count(*) FILTER (WHERE name = 'AwaitingRetry')",
        )
        if twice:
            raise DrillFailed(f"These runs were executed more than once: {twice}")


def wait(condition: Callable[[], bool], seconds: float, what: str, *, every: float = 2) -> None:
    """Wait until `condition`; raises DrillFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DrillFailed(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(every)


def expect(is_so: bool, otherwise: str) -> None:
    """Raise DrillFailed with `otherwise` unless `is_so`."""
    if not is_so:
        raise DrillFailed(otherwise)


def say(text: str) -> None:
    """Print a line with the time, at once."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)  # noqa: T201  # what the drill is for
