"""What it costs to account for a day, 30 days and a year: `python -m benchmarks.accounts [--rows N…] [--days N…]`.

Three jobs that run every two hours, on PostgreSQL, in a log that is short and in one that is long with the rows of a
thousand others. Prefect's server is made up inside the process (tests/support/fake_prefect.py), and finds runs by their
time: what it takes is counted and left out.

- reconcile, all missing: the log has no row of the window, and the reconciler writes them all.
- reconcile, none missing: it comes once more over the same window.
- verify: accounts for the same window.

In CPU seconds of the process, and the wall clock's beside them. A reconciliation takes six days at the most; it is
called until it is no longer behind. Linear is: the cost of a tick is the same in each window. Flat is: the same in
either log.
"""

import asyncio
import bisect
import logging
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog
from sqlalchemy import event, text

from benchmarks.jobs import fill
from benchmarks.sides import keep, parser, say
from flows.database.engine import create_engine
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.log.watermark import write_watermark
from flows.monitoring.reconcile.reconciler import reconcile
from flows.monitoring.verify.verification import verify
from tests.database.postgresql_server import postgresql_server, run_statements
from tests.support.fake_prefect import FakePrefect

INTERVAL = timedelta(hours=2)
JOBS = ("poll_a", "poll_b", "poll_c")
CASES = ("reconcile, all missing", "reconcile, none missing", "verify")


class Server(FakePrefect):
    """The made-up server, which looks only at the runs around the time that it is asked about."""

    seconds = 0.0

    def file_runs(self) -> None:
        """Sort the runs by their time, once they are all there."""
        self.all = sorted(self.runs.values(), key=lambda run: run["expected_start_time"])
        self.times = [datetime.fromisoformat(run["expected_start_time"]) for run in self.all]

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer, and count the time that it takes."""
        began = time.process_time()
        response = super().answer(request)
        self.seconds += time.process_time() - began
        return response

    def _matching(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted: dict[str, Any] = body.get("flow_runs") or {}
        bounds: dict[str, Any] = wanted.get("expected_start_time") or wanted.get("end_time") or {}
        first = _moment(bounds.get("after_"), timedelta(minutes=-5))
        last = _moment(bounds.get("before_"), timedelta(minutes=5))
        low = bisect.bisect_left(self.times, first) if first else 0
        high = bisect.bisect_right(self.times, last) if last else len(self.times)
        found, self.runs = self.runs, {run["id"]: run for run in self.all[low:high]}
        try:
            return super()._matching(body)
        finally:
            self.runs = found


def _moment(bound: str | None, margin: timedelta) -> datetime | None:
    return None if bound is None else datetime.fromisoformat(bound) + margin


def main() -> None:
    """Measure, and print one table."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    options.add_argument("--days", type=int, nargs="+", default=[1, 30, 365])
    arguments = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: dict[str, Any] = {}
    with postgresql_server() as server:
        for rows in arguments.rows:
            name = f"vibecheck_accounts_{rows}"
            run_statements(server, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
            url = server.set(database=name).render_as_string(hide_password=False)
            asyncio.run(fill(url, rows, datetime.now(UTC) - timedelta(days=2)))
            for days in arguments.days:
                measured = [asyncio.run(measure(url, days)) for _ in range(arguments.rounds)]
                for case in CASES:
                    figures = {kind: [one[case][kind] for one in measured] for kind in measured[0][case]}
                    middle = {kind: statistics.median(values) for kind, values in figures.items()}
                    ticks = days * len(JOBS) * (timedelta(days=1) / INTERVAL)
                    say(
                        f"{rows:>9,} rows, {days:>3} days, {case:24} {middle['cpu']:8.3f} CPU-s "
                        f"({min(figures['cpu']):.3f} to {max(figures['cpu']):.3f}), {middle['wall']:7.2f} s, "
                        f"{middle['cpu'] / ticks * 1e3:6.2f} CPU-ms a tick, {middle['statements']:5.0f} statements, "
                        f"{middle['requests']:5.0f} requests"
                    )
                    found[f"{rows} rows, {days} days, {case}"] = figures
            run_statements(server, f"DROP DATABASE {name} WITH (FORCE)")
    keep(arguments.json, "accounts", [], found)


async def measure(url: str, days: int) -> dict[str, dict[str, float]]:
    """Each case once, over the last `days`."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    engine = create_engine(url)
    since = now - timedelta(days=days)
    async with engine.begin() as connection:
        for table in ("monitored_jobs", "schedule_history", "reconciler_watermark"):
            await connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # constants
        await connection.execute(text("DELETE FROM scheduler_execution_log WHERE job_name LIKE 'poll\\__'"))
    server = Server(now=since)
    for job in JOBS:
        server.deploy(job, every=INTERVAL)
        due = since
        while due < now:
            server.run(job, due)
            due += INTERVAL
    server.file_runs()
    statements: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *each: statements.append(each[2]))
    async with server.client() as client:
        await sync_expectations(client, engine)
        server.now = now

        async def reconciled() -> None:
            async with engine.begin() as connection:
                await write_watermark(connection, since)
            jobs = (await sync_expectations(client, engine)).jobs
            while (await reconcile(client, engine, jobs)).is_behind:
                pass

        async def verified() -> None:
            if not (await verify(client, engine, since=since)).is_complete:
                raise RuntimeError("The log is not complete.")

        works = dict(zip(CASES, (reconciled, reconciled, verified), strict=True))
        found = {case: await timed(work, server, statements) for case, work in works.items()}
    await engine.dispose()
    return found


async def timed(work: Callable[[], Awaitable[None]], server: Server, statements: list[str]) -> dict[str, float]:
    """What `work` takes, without the server's own time."""
    statements.clear()
    server.requests.clear()
    server.seconds = 0.0
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    return {
        "cpu": time.process_time() - cpu - server.seconds,
        "wall": time.perf_counter() - wall - server.seconds,
        "statements": len(statements),
        "requests": len(server.requests),
    }


if __name__ == "__main__":
    main()
