"""How the databases answer the report's questions over a log of 60,000 rows: by indexes, and by few rows of them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import create_engine, reading
from flows.monitoring.verdicts.history import read_history
from flows.monitoring.verdicts.report import read_report
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, seed

LOG = "scheduler_execution_log"
ROWS = 60_000
# The jobs take turns, 75 seconds apart: each runs every 5 minutes, for 52 days. One fails, long since.
JOBS = ("poll_news", "poll_stories", "pipeline_status", "failing")
FAILURES = 1_000
# A plan may read other jobs' rows of the same time as well.
ROWS_OF_THE_FAILURES = len(JOBS) * FAILURES
ROWS_OF_30_DAYS = len(JOBS) * 30 * 24 * 12
_STATUS = f"""
    CASE WHEN n % 4 = 3 AND n < {ROWS_OF_THE_FAILURES} THEN 'failure' WHEN n % 29 = 0 THEN 'skipped'
      WHEN n % 97 = 0 THEN 'failure' ELSE 'success' END
"""
_JOB = " ".join(["CASE n % 4", *(f"WHEN {number} THEN '{name}'" for number, name in enumerate(JOBS)), "END"])
_COLUMNS = "execution_id, job_name, status, attempt, started_at, completed_at, duration_seconds, metadata"
_SEED = {
    "sqlite": f"""
        WITH RECURSIVE
        numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS - 1}),
        ticks AS (SELECT n, strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || (n * 75) || ' seconds') AS at FROM numbers)
        INSERT INTO {LOG} ({_COLUMNS})
        SELECT printf('00000000-0000-4000-8000-%012x', n), {_JOB}, {_STATUS}, 1, at, at, 1.0, '{{"inserted": 1}}'
        FROM ticks
    """,  # noqa: S608  # constants
    "postgresql": f"""
        INSERT INTO {LOG} ({_COLUMNS})
        SELECT gen_random_uuid(), {_JOB}, {_STATUS}, 1, at, at, 1.0, '{{"inserted": 1}}'
        FROM generate_series(0, {ROWS - 1}) AS n, LATERAL (SELECT now() - n * interval '75 seconds' AS at) AS tick
    """,  # noqa: S608  # constants
}


@pytest.fixture(scope="module")
def filled(shared_database_url: str) -> str:
    asyncio.run(_fill(shared_database_url))
    return shared_database_url


@pytest.fixture
async def old_log(filled: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(filled)
    yield engine
    await engine.dispose()


async def test_the_report_finds_each_jobs_newest_rows_by_an_index(old_log: AsyncEngine) -> None:
    async with reading(old_log) as connection:
        with _noting_statements(old_log) as statements:
            report = await read_report(connection, Settings())
        assert report.jobs["poll_news"].judgement.verdict == "healthy"
        assert report.jobs["failing"].judgement.reason == "failing"
        assert len(statements) == 2
        for statement, parameters in statements:
            await _check_plan(connection, statement, parameters, rows_at_most=ROWS_OF_THE_FAILURES + 100)


async def test_the_history_walks_no_more_of_the_log_than_its_window(old_log: AsyncEngine) -> None:
    async with reading(old_log) as connection:
        report = await read_report(connection, Settings())
        with _noting_statements(old_log) as statements:
            for job in report.jobs.values():
                history = await read_history(connection, job.expected, report.at)
                assert len(history.runs) == 60
        for statement, parameters in statements:
            await _check_plan(connection, statement, parameters, rows_at_most=ROWS_OF_30_DAYS + 100)


async def _fill(url: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        # As the driver's own text, as a colon in it is not a parameter.
        await connection.exec_driver_sql(_SEED[engine.dialect.name])
    now = await clock(engine)
    jobs = [expected(name, now, every_minutes=5, since=now - timedelta(days=200)) for name in JOBS]
    await seed(engine, jobs, [ran("poll_news", now - MINUTE, "running")])
    async with engine.connect() as connection:
        await connection.execute(text("ANALYZE"))
        await connection.commit()
    await engine.dispose()


@contextmanager
def _noting_statements(engine: AsyncEngine) -> Generator[list[tuple[str, Any]]]:
    """The statements about the log that are executed, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        if LOG in statement:
            statements.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def _check_plan(connection: AsyncConnection, statement: str, parameters: Any, *, rows_at_most: int) -> None:
    if connection.dialect.name == "sqlite":
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [str(row["detail"]) for row in plan.mappings() if LOG in row["detail"]]
        assert steps, f"The log is not in this plan:\n{statement}"
        # SCAN walks the whole table or index, SEARCH a range of it.
        assert all(step.startswith("SEARCH") for step in steps), f"{steps}\n{statement}"
    else:
        plan = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        document = plan.scalar_one()
        nodes = list(_nodes_on_the_log(json.loads(document) if isinstance(document, str) else document))
        assert nodes, f"The log is not in this plan:\n{statement}"
        assert all("Seq Scan" not in node["Node Type"] for node in nodes), f"{document}\n{statement}"
        rows = sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in nodes
        )
        assert rows <= rows_at_most, f"{rows} rows: {document}\n{statement}"


def _nodes_on_the_log(plan: Any) -> Generator[dict[str, Any]]:
    """The nodes of a JSON plan that read rows of the log."""
    if isinstance(plan, list):
        for item in plan:  # pyright: ignore[reportUnknownVariableType]  # JSON
            yield from _nodes_on_the_log(item)
    elif isinstance(plan, dict):
        node: dict[str, Any] = plan  # pyright: ignore[reportUnknownVariableType]  # JSON
        if node.get("Relation Name") == LOG:
            yield node
        for item in node.values():
            yield from _nodes_on_the_log(item)
