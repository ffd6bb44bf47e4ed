"""What the log's questions cost does not grow with its age: their plans on a log of 50,000 rows."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import create_engine, reading
from flows.monitoring.log.rows import (
    delete_older_than,
    latest_run_of_each_job,
    latest_runs,
    latest_success,
    lock_row,
    open_rows,
    read_rows,
    rows_between,
    rows_worth_keeping,
)
from tests.polling.storage.rows import NOON, expect, id_of

ROWS = 50_000
LOG = "scheduler_execution_log"
# Pages of 8 kB; the table and its indexes have some thousands.
FEW_PAGES = 60

# Each question, and the index that must answer it; where none is named, any will do.
QUESTIONS: dict[str, tuple[str, Callable[[AsyncConnection], Awaitable[object]]]] = {
    "the latest runs": ("job_name_started_at", lambda connection: latest_runs(connection, "stories", 3)),
    "the latest runs that did work": ("ran", lambda connection: latest_runs(connection, "stories", 3, only_ran=True)),
    "the latest success": ("succeeded", lambda connection: latest_success(connection, "stories")),
    "the latest run of each job": ("ran", latest_run_of_each_job),
    "the open rows": ("open", lambda connection: open_rows(connection, NOON)),
    "the rows of two hours": (
        "",
        lambda connection: rows_between(connection, ["news"], NOON - timedelta(hours=2), NOON),
    ),
    "the rows of some executions": ("", lambda connection: read_rows(connection, [id_of(n) for n in range(5)])),
    "an execution's row": ("", lambda connection: lock_row(connection, id_of(1))),
}


@pytest.fixture(scope="module")
def filled(shared_database_url: str) -> str:
    """A log of some weeks: one job runs, a rarer one has been skipped for most of that time, a third never ran."""
    asyncio.run(fill(shared_database_url))
    return shared_database_url


async def fill(url: str) -> None:
    database = create_engine(url)
    if database.dialect.name == "postgresql":
        numbers = f"SELECT n FROM generate_series(1, {ROWS}) AS n"  # noqa: S608  # ours
        identifier = "gen_random_uuid()"
        moment = f"timestamptz '2026-09-07 12:00Z' - ({ROWS} - n) * interval '1 minute'"
    else:
        some = f"SELECT 1 AS n UNION ALL SELECT n + 1 FROM some WHERE n < {ROWS}"  # noqa: S608  # ours
        numbers = f"WITH RECURSIVE some AS ({some}) SELECT n FROM some"  # noqa: S608  # ours
        identifier = "'00000000-0000-0000-0000-' || printf('%012d', n)"
        moment = f"strftime('%Y-%m-%d %H:%M:%S.000000', '2026-09-07 12:00:00', '-' || ({ROWS} - n) || ' minutes')"
    async with database.begin() as connection:
        await connection.exec_driver_sql(
            f"INSERT INTO {LOG} (execution_id, job_name, status, attempt, started_at, metadata) "  # noqa: S608  # ours
            f"SELECT {identifier}, CASE WHEN n % 5 = 1 THEN 'stories' ELSE 'news' END, "
            "CASE WHEN n > 1000 AND n % 5 = 1 THEN 'skipped' WHEN n % 20 = 0 THEN 'failure' ELSE 'success' END, "
            f"1, {moment}, '{{}}' FROM ({numbers}) AS numbers"
        )
        await expect(connection, "news", "stories", "never_ran")
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE"))
    await database.dispose()


@pytest.fixture
async def old_log(filled: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(filled)
    yield engine
    await engine.dispose()


async def test_no_question_reads_the_whole_log(old_log: AsyncEngine) -> None:
    for what, (index, ask) in QUESTIONS.items():
        await check(old_log, what, ask, pages=FEW_PAGES, index=index)


async def test_deleting_a_batch_of_old_rows_reads_that_batch_alone(old_log: AsyncEngine) -> None:
    before = NOON - timedelta(days=30)
    async with reading(old_log) as connection:
        kept = await rows_worth_keeping(connection)
    await check(
        old_log,
        "retention",
        lambda connection: delete_older_than(connection, before, kept, limit=100),
        pages=3_000,
        index="",
    )


async def test_a_question_that_reads_the_whole_log_would_be_noticed(old_log: AsyncEngine) -> None:
    async def ask(connection: AsyncConnection) -> object:
        return await connection.scalar(text(f"SELECT count(*) FROM {LOG} WHERE attempt = 1"))  # noqa: S608  # ours

    with pytest.raises(AssertionError):
        await check(old_log, "a bad question", ask, pages=FEW_PAGES, index="")


async def test_the_answers_on_the_old_log_are_right(old_log: AsyncEngine) -> None:
    async with old_log.connect() as connection:
        last = await latest_run_of_each_job(connection)
        assert {name: found and found.started_at for name, found in last.items()} == {
            "news": NOON,
            "stories": NOON - timedelta(minutes=ROWS - 996),
            "never_ran": None,
        }


async def check(
    database: AsyncEngine, what: str, ask: Callable[[AsyncConnection], Awaitable[object]], *, pages: int, index: str
) -> None:
    """Ask, and see how the database went about each statement, with the very values that it was given."""
    async with database.connect() as connection:
        statements: list[tuple[str, Any]] = []

        def note(
            _connection: Connection, _cursor: object, sql: str, values: Any, _context: object, _many: bool
        ) -> None:
            if not sql.startswith("BEGIN"):
                statements.append((sql, values))

        event.listen(connection.sync_connection, "before_cursor_execute", note)
        await ask(connection)
        event.remove(connection.sync_connection, "before_cursor_execute", note)
        await connection.rollback()
        assert statements
        for sql, values in statements:
            if database.dialect.name == "sqlite":
                steps = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)).all()
                plan = "\n".join(str(step[-1]) for step in steps)
                assert f"SCAN {LOG}" not in plan, (what, plan)
            else:
                explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
                answer = (await connection.exec_driver_sql(explain, values)).scalar_one()
                top = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
                plan = json.dumps(top)
                assert not [node for node in nodes(top) if is_whole_scan(node)], (what, plan)
                assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < pages, (what, plan)
            if index:
                assert f"ix_{LOG}_{index}" in plan, (what, plan)
            await connection.rollback()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def is_whole_scan(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and node["Relation Name"] == LOG
