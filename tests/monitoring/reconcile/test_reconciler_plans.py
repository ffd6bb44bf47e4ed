"""What a reconciliation costs does not grow with the log's age: its questions' plans on a log of 50,000 rows."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.reconcile.reconciler import Reconciled, reconcile
from flows.monitoring.verify.verification import verify
from tests.support.fake_prefect import START, FakePrefect

JOB = "poll"
QUARTER = timedelta(minutes=15)
LOG = "scheduler_execution_log"
ROWS = 50_000
# Pages of 8 kB; the table and its indexes have some thousands.
FEW_PAGES = 60
# A row every 5 minutes, for almost two years, until a day before the start; every other one of another job.
_MINUTES = f"(({ROWS} - n) * 5 + 1440)"
_JOB = f"CASE n % 2 WHEN 0 THEN '{JOB}' ELSE 'other' END"
_SEED = {
    "sqlite": f"""
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS}),
        ticks AS (
          SELECT n, strftime('%Y-%m-%d %H:%M:%S.000000', '2026-11-23 12:00:00', '-' || {_MINUTES} || ' minutes') AS at
          FROM numbers
        )
        INSERT INTO {LOG}
          (execution_id, job_name, status, attempt, scheduled_for, started_at, completed_at, closed_by, metadata)
        SELECT printf('00000000-0000-4000-8000-%012x', n), {_JOB}, 'success', 1, at, at, at, 'flow', '{{}}'
        FROM ticks
    """,  # noqa: S608  # constants
    "postgresql": f"""
        INSERT INTO {LOG}
          (execution_id, job_name, status, attempt, scheduled_for, started_at, completed_at, closed_by, metadata)
        SELECT gen_random_uuid(), {_JOB}, 'success', 1, at, at, at, 'flow', '{{}}'
        FROM generate_series(1, {ROWS}) AS n,
          LATERAL (SELECT timestamptz '2026-11-23 12:00Z' - {_MINUTES} * interval '1 minute' AS at) AS tick
    """,  # noqa: S608  # constants
}


async def test_reconcile_and_verify_read_only_their_part_of_the_log(
    database: AsyncEngine,
) -> None:
    async with database.begin() as connection:
        await connection.exec_driver_sql(_SEED[database.dialect.name])
        await connection.execute(text("ANALYZE"))
    prefect = FakePrefect()
    prefect.deploy(JOB)
    await _round(prefect, database)
    # One of each: a run without its row, a tick without its run, a row that is open although its run is over.
    prefect.run(JOB, START + QUARTER)
    prefect.now = START + 3 * QUARTER

    with _noted_statements(database) as statements:
        done = await _round(prefect, database)
        async with prefect.client() as client:
            verification = await verify(client, database, since=START, grace=timedelta(minutes=2))
    assert (done.repaired, done.missed) == (1, 1)
    assert verification.is_complete

    about_the_log = [statement for statement in statements if LOG in statement[0]]
    assert len(about_the_log) >= 6
    async with reading(database) as connection:
        for sql, values in about_the_log:
            if not sql.startswith("SELECT"):
                continue
            if database.dialect.name == "sqlite":
                steps = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)).all()
                assert f"SCAN {LOG}" not in "\n".join(str(step[-1]) for step in steps), (sql, steps)
            elif "FOR UPDATE" not in sql:
                answer = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", values)
                plan = _loaded(answer.scalar_one())
                # The jobs are few, and may be read whole; the log may not.
                scanned = [node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"]
                assert LOG not in scanned, (sql, plan)
                assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < FEW_PAGES, (sql, plan)


async def _round(prefect: FakePrefect, database: AsyncEngine) -> Reconciled:
    prefect.now += timedelta(seconds=1)
    async with prefect.client() as client:
        synced = await sync_expectations(client, database)
        return await reconcile(client, database, synced.jobs)


@contextmanager
def _noted_statements(database: AsyncEngine) -> Generator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: object, sql: str, values: Any, _context: object, _many: bool) -> None:
        statements.append((sql, values))

    event.listen(database.sync_engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.sync_engine, "before_cursor_execute", note)


def _loaded(answer: Any) -> dict[str, Any]:
    return (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
