"""What watching many jobs costs on PostgreSQL, beside another checkout of this project.

    git worktree add ../before COMMIT
    python -m benchmarks.jobs [--against ../before] [--jobs 3 100 1000] [--rows 10000 5000000] [--rounds 3]

A server is started for it, with fsync off (or the one in TEST_DATABASE_URL is used): the ratios carry over, the times
do not. Each round of each side is a process of its own, and the sides take turns on the same data. Prefect's server is
made up inside the process (tests/support/fake_prefect.py of this checkout, for both sides): its time is in the status
flow's and in verify's, the time of a real one is not.

- The log's rows belong to 1,000 jobs that run every 15 minutes, of which some fail and some have a cron schedule;
  the first so many of these are monitored.
- `verdict` is `read_report`; `health` and `page` are whole answers of the application, each read from the
  database, however long that takes; `status flow` repairs, judges and tells nobody; `verify` accounts for an hour.
- A step of the status flow that takes longer than 30 s (the reconciler: 90 s) is given up, and counted.
- `MB` is the most that the process held, with the made-up server in it.
"""

import argparse
import asyncio
import importlib.util
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
DATABASE = "vibecheck_jobs_{rows}"
# A log of so many jobs, whichever of them are monitored.
JOBS_IN_LOG = 1_000
INTERVAL = timedelta(minutes=15)
APART_SECONDS = 0.8
REPEAT = 7
LABELS = ("verdict ms", "health ms", "page ms", "status flow ms", "verify ms")
COUNTS = ("verdict statements", "page kB", "status flow statements", "status flow requests", "status flow failed steps",
          "verify statements", "verify requests", "MB")  # fmt: skip

_NAME = """
    CASE n % 1000 WHEN 0 THEN 'pipeline_status' ELSE 'team_' || (n % 17) || '/report_' || lpad((n % 1000)::text, 4, '0')
    END
"""
_DUE = f"""
    cast(:base AS timestamptz) - (n / 1000) * interval '15 minutes' - (n % 1000) * {APART_SECONDS} * interval '1 second'
"""
# Every 40th job has failed for its last 5 runs; and now and then one fails.
_FILL = f"""
    INSERT INTO scheduler_execution_log (execution_id, job_name, status, scheduled_for, attempt, started_at,
        completed_at, duration_seconds, error_message, metadata, closed_by)
    SELECT gen_random_uuid(), {_NAME}, status, due, 1, due + interval '1 second', due + interval '21 seconds', 20,
        CASE status WHEN 'failure' THEN repeat('It broke. ', 30) END,
        CASE WHEN status = 'success' AND n % 3 = 0
            THEN jsonb_build_object('inserted', n % 5, 'updated', 0, 'requests', 12, 'window_start', due)
            ELSE '{{}}'::jsonb END, 'hook'
    FROM generate_series(0, :rows - 1) AS n, LATERAL (SELECT {_DUE} AS due, CASE WHEN n % 40 = 7 AND n / 1000 < 5
        OR n % 397 = 0 AND n % 1000 > 0 THEN 'failure' WHEN n % 29 = 1 THEN 'skipped' ELSE 'success' END AS status) AS t
"""  # noqa: S608  # constants
_MONITOR = f"""
    INSERT INTO monitored_jobs (job_name, deployment_id, interval_seconds, schedule, since, paused, planned_runs,
        next_run_at, status, status_since, bad_streak)
    SELECT {_NAME}, md5('deployment' || n)::uuid, 900, '[]', due - interval '40 days', false, 4,
        due + interval '15 minutes', 'healthy', due - interval '40 days', 0
    FROM generate_series(0, :jobs - 1) AS n, LATERAL (SELECT {_DUE} AS due) AS t
"""  # noqa: S608  # constants


async def fill(url: str, rows: int, base: datetime) -> None:
    """A log of `rows` rows, the newest from `base`; its indexes are made afterwards, which is faster."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    from flows.database.migrate import migrate

    # Not an engine of ours, whose connections give each statement half a minute.
    engine = create_async_engine(url)
    await migrate(engine)
    async with engine.begin() as connection:
        found = await connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'scheduler_execution_log' "
                 "AND indexname LIKE 'ix%'")
        )  # fmt: skip
        indexes = [tuple(row) for row in found]
        for name, _ in indexes:
            await connection.execute(text(f"DROP INDEX {name}"))
        await connection.execute(text(_FILL), {"rows": rows, "base": base})
        for _, definition in indexes:
            await connection.execute(text(definition))
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE"))
    await engine.dispose()


async def monitor(url: str, jobs: int, base: datetime) -> None:
    """Let the first `jobs` of them be the monitored ones, with no past but the log."""
    from sqlalchemy import text

    from flows.database.engine import create_engine

    engine = create_engine(url)
    async with engine.begin() as connection:
        for table in ("monitored_jobs", "schedule_history", "job_transitions", "reconciler_watermark"):
            await connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # constants
        await connection.execute(text(_MONITOR), {"jobs": jobs, "base": base})
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE monitored_jobs"))
    await engine.dispose()


def made_up_server(names: dict[str, str], base: datetime) -> Any:
    """A Prefect server with a deployment for each job (`names`: its id), four planned runs each, and an hour's runs."""
    specification = importlib.util.spec_from_file_location("fake", HERE / "tests/support/fake_prefect.py")
    if specification is None or specification.loader is None:
        raise SystemExit("tests/support/fake_prefect.py is not there.")
    fake = importlib.util.module_from_spec(specification)
    sys.modules["fake"] = fake
    specification.loader.exec_module(fake)
    server = fake.FakePrefect(now=datetime.now(UTC))
    for name, id_ in names.items():
        flow, _, deployment = name.partition("/")
        number = int(name[-4:]) if deployment else 0
        due = base - timedelta(seconds=number * APART_SECONDS)
        rule: dict[str, Any] = {"interval": 900, "anchor_date": due.isoformat(), "timezone": "UTC"}
        if number % 10 == 9:
            rule = {"cron": f"{number % 60} {number % 24} * * *", "timezone": "Europe/Berlin"}
        schedule = {"id": id_, "slug": "s", "active": True, "schedule": rule, "updated": base.isoformat()}
        changed = (base - timedelta(days=30)).isoformat()
        server.deploy(flow, id=id_, name=deployment or "scheduled", tags=["monitored"], schedules=[schedule],
                      created=changed, updated=changed, work_pool_name="default")  # fmt: skip
        for k in range(-4, 4):
            run = server.run(flow, due - k * INTERVAL, "COMPLETED" if k >= 0 else "SCHEDULED", run_count=int(k >= 0))
            server.runs[str(run)]["deployment_id"] = id_
    server.work_pools["default"] = "READY"
    return server


async def measure(url: str, base: datetime, *, reads_only: bool) -> dict[str, float]:
    """One round of one side, whose code is the one that is imported."""
    import httpx
    import structlog
    from sqlalchemy import event, text

    from flows.database.engine import create_engine, reading
    from flows.monitoring.verdicts.report import read_report
    from flows.monitoring.web import app as web
    from flows.settings import Settings

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings.model_validate({"database_url": url})
    engine = create_engine(url)
    statements = list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    results: dict[str, float] = {}

    async def report() -> None:
        async with reading(engine) as connection:
            await read_report(connection, settings)

    async def timed(label: str, work: Callable[[], Awaitable[object]], repeat: int = REPEAT) -> None:
        await work()
        seconds = list[float]()
        for _ in range(repeat):
            statements.clear()
            began = time.perf_counter()
            await work()
            seconds.append(time.perf_counter() - began)
        results[f"{label} ms"] = statistics.median(seconds) * 1000
        results[f"{label} statements"] = len(statements)

    await timed("verdict", report)
    # However long it takes, and never from what was kept.
    for name, seconds in (("ANSWER", 300.0), ("READ", 300.0), ("REPORT_KEPT", 0.0), ("PAGE_KEPT", 0.0)):
        setattr(web, f"{name}_SECONDS", seconds)
    application = web.create_app(settings)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://health", timeout=300) as client,
    ):
        await timed("health", lambda: client.get("/health/scheduler"))
        await timed("page", lambda: client.get("/"), 3)
        results["page kB"] = len((await client.get("/")).content) / 1000
    if not reads_only:
        async with engine.connect() as connection:
            rows = await connection.execute(text("SELECT job_name, deployment_id FROM monitored_jobs"))
            server = made_up_server({row[0]: str(row[1]) for row in rows}, base)
        await _measure_status_flow(engine, settings, server, timed, results)
    results["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    await engine.dispose()
    return results


async def _measure_status_flow(engine: Any, settings: Any, server: Any, timed: Any, results: dict[str, float]) -> None:
    from flows.monitoring.alarms.publish import publish
    from flows.monitoring.reconcile.repair import repair
    from flows.monitoring.verdicts.changes import judge
    from flows.monitoring.verify.verification import verify

    async with server.client() as client:

        async def status_flow() -> None:
            server.now = datetime.now(UTC)
            server.requests.clear()
            repaired = await repair(client, engine, settings)
            results["status flow failed steps"] = len(repaired.failures)
            await publish(client, engine, settings, await judge(engine, settings, repaired.absent))

        async def verification() -> None:
            server.requests.clear()
            await verify(client, engine, since=server.now - timedelta(hours=1))

        await status_flow()  # the second one confirms the verdicts
        for label, work in (("status flow", status_flow), ("verify", verification)):
            await timed(label, work, 2)
            results[f"{label} requests"] = len(server.requests)


def _measure_in(checkout: Path, url: str, base: datetime, *, reads_only: bool) -> dict[str, float]:
    """One round in a process of its own that imports `flows` from `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "PREFECT_LOGGING_LEVEL": "CRITICAL",
                   "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "VIBECHECK_JOBS_URL": url}  # fmt: skip
    command = [sys.executable, __file__, "--measure", base.isoformat(), *(["--reads-only"] if reads_only else [])]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, cwd=checkout)  # noqa: S603  # this file
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a table of medians, with the other checkout's and the ratios, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of this project, to be measured beside")
    parser.add_argument("--jobs", type=int, nargs="+", default=[3, 100, 1_000])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 5_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reads-only", action="store_true", help="neither the status flow nor verify")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        url = os.environ["VIBECHECK_JOBS_URL"]
        base = datetime.fromisoformat(arguments.measure)
        tell(json.dumps(asyncio.run(measure(url, base, reads_only=arguments.reads_only))))
        return
    sys.path.insert(0, str(HERE))
    from tests.database.postgresql_server import postgresql_server, run_statements

    sides = {"here": HERE} | ({"there": arguments.against} if arguments.against else {})
    report: dict[str, Any] = {}
    with postgresql_server() as server:
        for rows in arguments.rows:
            name = DATABASE.format(rows=rows)
            run_statements(server, f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"')
            url = server.set(database=name).render_as_string(hide_password=False)
            base = datetime.now(UTC).replace(microsecond=0)
            asyncio.run(fill(url, rows, base))
            for jobs in arguments.jobs:
                rounds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
                for _ in range(arguments.rounds):
                    for side, checkout in sides.items():
                        asyncio.run(monitor(url, jobs, base))
                        rounds[side].append(_measure_in(checkout, url, base, reads_only=arguments.reads_only))
                report[f"{rows:,} rows, {jobs:,} jobs"] = _show(f"{rows:,} rows, {jobs:,} jobs", rounds)
            run_statements(server, f'DROP DATABASE "{name}" WITH (FORCE)')
    tell(json.dumps(report))


def tell(line: str) -> None:
    """Print `line` at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _show(title: str, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    tell(f"\n{title}")
    shown: dict[str, Any] = {}
    for label in (label for label in (*LABELS, *COUNTS) if label in rounds["here"][0]):
        figures = {side: round(statistics.median(one[label] for one in of), 1) for side, of in rounds.items()}
        if label in LABELS and "there" in rounds:
            ratios = sorted(a[label] / b[label] for a, b in zip(rounds["here"], rounds["there"], strict=True))
            figures |= {"ratio": round(statistics.median(ratios), 3), "least": round(ratios[0], 3),
                        "most": round(ratios[-1], 3)}  # fmt: skip
        tell(f"  {label:24} " + "  ".join(f"{name} {value:10,}" for name, value in figures.items()))
        shown[label] = figures
    return shown


if __name__ == "__main__":
    main()
