"""The queries of `docs/execution-log.md` run as printed, and answer what their headings say."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import table_of
from flows.monitoring.log.merge import AUTHORITY
from flows.monitoring.log.rows import LogRow, insert_row
from flows.monitoring.tables import ExecutionLog
from flows.monitoring.vocabulary import Status
from tests.polling.storage.rows import NOON, row
from tests.support.prefect_server import PROJECT_ROOT

DOCUMENT = (PROJECT_ROOT / "docs" / "execution-log.md").read_text()
# Each query of the document by the line above it.
QUERIES = dict(re.findall(r"^([^\n]+):\n```sql\n(.+?)```", DOCUMENT, flags=re.MULTILINE | re.DOTALL))
QUARTER = 15


def log() -> list[LogRow]:
    """Twelve ticks of one job, and one of another: what happens in the life of a log."""
    lost = {"status": "failure", "error_message": "Lost.", "details": {"reason": "lost"}, "closed_by": "reconciler"}
    quarters: list[dict[str, Any]] = [
        {"duration_seconds": 20.0, "details": {"fetched": 7}},
        {"status": "failure", "error_message": "It broke.", "details": {"reason": "crashed"}, "closed_by": "hook"},
        {"duration_seconds": 300.0, "attempt": 2},
        {"status": "skipped", "details": {"reason": "overlap"}, "closed_by": "reconciler", "attempt": 0},
        {"status": "missed", "details": {"reason": "no_run"}, "closed_by": "reconciler", "attempt": 0},
        {"status": "missed", "details": {"reason": "no_run"}, "closed_by": "reconciler", "attempt": 0},
        {"details": {"claims": {"flow": "success", "reconciler": "failure"}}},
        {"status": "partial_failure", "details": {"claims": {"flow": "partial_failure"}}},
        lost,
        {"status": "running"},
    ]
    rows = [row("news", QUARTER * number, **quarter) for number, quarter in enumerate(quarters)]
    return [*rows, row("stories", -24 * 60)]


@pytest.fixture
async def answers(database: AsyncEngine) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    async with database.begin() as connection:
        for each in log():
            await insert_row(connection, each)
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    async with database.connect() as connection:
        for heading, query in QUERIES.items():
            rows = (await connection.exec_driver_sql(query)).mappings()
            found[heading] = [{str(name): value for name, value in each.items()} for each in rows]
    return found


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [each[name] for each in rows]


async def test_each_query_answers_its_question(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    failures, slowest, gaps, rates, not_run, last, disagreements = answers.values()
    assert column(failures, "error_message") == ["Lost.", "It broke."]
    assert column(failures, "reason") == ["lost", "crashed"]
    assert column(slowest, "duration_seconds")[:2] == [300, 20]
    assert [(gap["ticks"], str(gap["first_tick"])[:16]) for gap in gaps] == [
        (3, f"{NOON + timedelta(minutes=3 * QUARTER):%Y-%m-%d %H:%M}")
    ]
    assert [(str(rate["day"]), rate["job_name"], rate["runs"], float(rate["percent"])) for rate in rates] == [
        ("2026-09-07", "news", 6, 50.0),
        ("2026-09-06", "stories", 1, 100.0),
    ]
    assert [(each["status"], each["reason"], each["ticks"]) for each in not_run] == [
        ("missed", "no_run", 2),
        ("skipped", "overlap", 1),
    ]
    assert [(each["job_name"], each["status"]) for each in last] == [("news", "running"), ("stories", "success")]
    assert column(disagreements, "status") == ["success"]


def test_every_column_and_every_status_is_in_the_document() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, flags=re.MULTILINE))
    columns = {column.name for column in table_of(ExecutionLog).columns}
    assert named == columns | set(Status)
    assert all(f"`{closer}`" in DOCUMENT for closer in AUTHORITY)
