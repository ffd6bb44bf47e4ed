"""The production drill: brings up docker-compose.yml beside the AskNews sandbox, and breaks it in every way.

    python3 -m tests.drill [--no-build] [--keep] [ITEM ...]

Anyone with docker can run it: it needs Python's standard library alone, uses a compose project, ports and passwords of
its own, and removes everything at the end (unless `--keep`). After each item it waits until `vibecheck verify` finds
every tick accounted for. Without items it does all of them, which takes about an hour and a half.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.drill.stack import ROOT, DrillFailed, Stack, expect, say, wait
from tests.drill.storm import break_loose

JOBS = ("poll_news", "poll_stories", "pipeline_status")
# What the sandbox takes for a page of news while something is broken: less than the pipeline waits for one.
SLOW_SECONDS = 20
BLOCK_SCRIPT = """
import sys
from prefect_sqlalchemy import AsyncDriver, AsyncSqlAlchemyConnector, ConnectionComponents
components = ConnectionComponents(driver=AsyncDriver.POSTGRESQL_ASYNCPG, username="vibecheck", password=sys.argv[1],
                                  host="postgres", port=5432, database="vibecheck")
AsyncSqlAlchemyConnector(connection_info=components).save("vibecheck", overwrite=True)
"""


def up(stack: Stack) -> None:
    """A fresh start: every job runs through a worker container, its rows are in PostgreSQL, and all is reachable."""
    stack.compose("up", "-d", "--wait", "--wait-timeout", "900")
    stack.started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for job in JOBS:
        stack.run(job)
    for job in JOBS:
        wait(lambda job=job: stack.successes(job) > 0, 600, f"a successful run of {job}")
    for table in ("articles", "stories", "article_entities"):
        expect(stack.sql("vibecheck", f"SELECT count(*) FROM {table}") != ["0"], f"The table {table} is empty.")  # noqa: S608  # the names above
    wait(lambda: stack.get(stack.health_port, "/health/scheduler") == 200, 300, "200 from /health/scheduler")
    expect(stack.get(stack.server_port, "/") == 200, "Prefect's UI does not load.")
    expect(stack.get(stack.server_port, "/api/admin/version") == 401, "Prefect's API wants no password.")


def kill_worker(stack: Stack) -> None:
    """A worker container is killed in mid-run: its run is found and closed, and the next one does its work."""
    lost = _run_in_hand(stack)
    _strike(stack, lost, "kill", stack.container("worker"))
    stack.slow(0)
    stack.compose("up", "-d", "--wait", "worker")
    wait(lambda: stack.row(lost) not in ("", "running"), 900, "the killed run to be closed", every=10)
    expect(stack.row(lost) != "success", "The run succeeded although its worker was killed.")
    say(f"  the killed run is {stack.state(lost)} in Prefect, {stack.row(lost)} in the log")
    _works_again(stack)


def restart_server(stack: Stack) -> None:
    """The Prefect server restarts in mid-run: the run completes."""
    run = _run_in_hand(stack)
    _strike(stack, run, "restart", stack.container("server"))
    stack.slow(0)
    wait(lambda: stack.row(run) == "success", 300, "the run to succeed")
    _works_again(stack)


def restart_postgres(stack: Stack) -> None:
    """PostgreSQL, of both databases, restarts in mid-run: the run is accounted for, and the next one works."""
    run = _run_in_hand(stack)
    _strike(stack, run, "restart", stack.container("postgres"))
    stack.slow(0)
    wait(lambda: stack.row(run) not in ("", "running"), 900, "the run to be closed", every=10)
    say(f"  the interrupted run is {stack.state(run)} in Prefect, {stack.row(run)} in the log")
    _works_again(stack)


def redis_away(stack: Stack) -> None:
    """Redis is off the network for a minute: nothing is lost, and no run's slot stays taken."""
    run = _run_in_hand(stack)
    container, network = stack.container("redis"), f"{stack.environment['COMPOSE_PROJECT_NAME']}_default"
    _strike(stack, run, "network", "disconnect", network, container)
    time.sleep(60)
    stack.docker("network", "connect", "--alias", "redis", network, container)
    stack.slow(0)
    wait(lambda: stack.row(run) not in ("", "running"), 900, "the run to be closed", every=10)
    say(f"  the run meanwhile is {stack.state(run)} in Prefect, {stack.row(run)} in the log")
    _works_again(stack)
    wait(lambda: not stack.unhealthy(), 180, "every container to be healthy again")


def scale(stack: Stack) -> None:
    """One worker, three, one again in mid-run: every run executes once, and none is cut off."""
    stack.compose("up", "-d", "--no-recreate", "--wait", "--scale", "worker=3")
    for job in JOBS[:2]:
        before = stack.successes(job)
        wait(lambda job=job, before=before: stack.successes(job) >= before + 3, 1200, f"three more runs of {job}")
    say(f"  runs by worker: {stack.workers_of_runs()}")
    run = _run_in_hand(stack)
    _strike(stack, run, "compose", "up", "-d", "--no-recreate", "--wait", "--scale", "worker=1")
    stack.slow(0)
    wait(lambda: stack.row(run) == "success", 300, "the run to succeed")


def storm(stack: Stack) -> None:
    """All this at once, and AskNews fails meanwhile: what was offered is stored, and no tick is lost."""
    break_loose(stack)
    _works_again(stack)


def roll(stack: Stack) -> None:
    """Everything moves to a new image while a run is going: the run completes."""
    image = f"{stack.environment['VIBECHECK_IMAGE']}:next"
    subprocess.run(  # the drill's own words
        ["docker", "build", "--quiet", "--tag", image, "-"],  # wherever docker is
        input=f"FROM {stack.environment['VIBECHECK_IMAGE']}\nLABEL release=next\n".encode(),
        env=stack.environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    run = _run_in_hand(stack)
    stack.environment["VIBECHECK_IMAGE"] = image
    _strike(stack, run, "compose", "stop", "worker", "worker-status")
    stack.compose("up", "-d", "--wait", "--wait-timeout", "900")
    expect(stack.state(run) == "COMPLETED", f"The run was cut off by the rollout: {stack.state(run)}")
    expect(stack.row(run) == "success", f"The run's row says {stack.row(run)}.")
    stack.slow(0)
    rolled = {"server", "services", "worker", "worker-status", "health"}
    expect(set(stack.services_of(image)) == rolled, f"The new image runs only in {stack.services_of(image)}.")
    _works_again(stack)


def rotate_password(stack: Stack) -> None:
    """The database's password changes while it is kept in a block: no container is touched, and runs go on."""
    old = stack.environment["POSTGRES_VIBECHECK_PASSWORD"]
    stack.operate("python", "-c", BLOCK_SCRIPT, old)
    stack.environment["VIBECHECK_DATABASE_BLOCK"] = "vibecheck"
    stack.compose("up", "-d", "--wait")
    _works_again(stack)
    containers = stack.compose("ps", "-q")
    stack.sql("postgres", "ALTER ROLE vibecheck PASSWORD 'rotated0123456789'")
    stack.operate("python", "-c", BLOCK_SCRIPT, "rotated0123456789")
    _works_again(stack)
    wait(lambda: stack.get(stack.health_port, "/health/scheduler") == 200, 300, "200 from /health/scheduler")
    expect(stack.compose("ps", "-q") == containers, "A container was replaced.")
    stack.environment["POSTGRES_VIBECHECK_PASSWORD"] = "rotated0123456789"  # lives as long as the drill


def restore(stack: Stack) -> None:
    """The pipeline's database is lost and restored from its dump, as docs/operations.md tells."""
    stack.operate("vibecheck", "drain")
    counted = "SELECT (SELECT count(*) FROM articles), (SELECT count(*) FROM scheduler_execution_log)"
    before = stack.sql("vibecheck", counted)
    dump = "pg_dump --username postgres --format custom vibecheck --file /var/lib/postgresql/data/drill.dump"
    stack.compose("exec", "-T", "postgres", *dump.split())
    stack.sql("postgres", "DROP DATABASE vibecheck WITH (FORCE)")
    loading = "pg_restore --username postgres --dbname postgres --create --exit-on-error"
    stack.compose("exec", "-T", "postgres", *loading.split(), "/var/lib/postgresql/data/drill.dump")
    expect(stack.sql("vibecheck", counted) == before, "The restored database has not the rows of the lost one.")
    stack.compose("run", "--rm", "-T", "--no-deps", "apply")
    stack.operate("vibecheck", "resume")
    _works_again(stack)


ITEMS: dict[str, Callable[[Stack], None]] = {
    item.__name__: item
    for item in (
        up,
        kill_worker,
        restart_server,
        restart_postgres,
        redis_away,
        scale,
        storm,
        roll,
        restore,
        rotate_password,
    )
}


def _run_in_hand(stack: Stack) -> str:
    """A news poll that is going and will be for a while."""
    stack.slow(SLOW_SECONDS)
    return stack.start_run()


def _strike(stack: Stack, run: str, *command: str) -> None:
    """Do `docker command…` while the run is going: what hits no run proves nothing."""
    state = stack.state(run)
    expect(state == "RUNNING", f"The run had ended before the blow: {state}")
    stack.docker(*command)


def _works_again(stack: Stack) -> None:
    before = stack.successes("poll_news")
    wait(lambda: stack.successes("poll_news") > before, 600, "the next successful news poll")


def main(arguments: list[str]) -> int:
    """Do the items that `arguments` name. Return the exit code: 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="drill", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=", ".join(ITEMS))
    parser.add_argument("--no-build", action="store_true", help="take the image vibecheck-pipeline that is there")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    chosen = parser.parse_args(arguments)
    names = [name for name in ITEMS if name == "up" or name in (chosen.items or ITEMS)]
    if unknown := set(chosen.items) - set(ITEMS):
        parser.error(f"no such item: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="vibecheck-drill-") as folder:
        stack = Stack(Path(folder), image="vibecheck-pipeline")
        try:
            if not chosen.no_build:
                say(f"building the image from {ROOT}")
                stack.compose("build", "--quiet")
            for name in names:
                started = time.monotonic()
                say(f"{name}: {(ITEMS[name].__doc__ or '').strip()}")
                ITEMS[name](stack)
                stack.verify()
                say(f"  {name} held, every tick accounted for ({time.monotonic() - started:.0f} s)")
        except DrillFailed as failure:
            say(f"FAILED: {failure}")
            say(stack.compose("ps", "--all"))
            return 1
        finally:
            if not chosen.keep:
                stack.compose("down", "--volumes", "--timeout", "10")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
