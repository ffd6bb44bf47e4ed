"""What storing and asking cost on PostgreSQL: `python -m benchmarks.upserts [--log-rows N] [--repeat N]`.

Measured on a server that is started for it, with fsync off (or on the one in TEST_DATABASE_URL): the ratios carry over,
the times do not. Bodies are 3 kB, as an article's summary and key points are.

- 1,000 new articles, the same again, and again with every tenth revised;
- for comparison, the same 1,000 by a plain executemany of INSERT … ON CONFLICT DO UPDATE, which writes unchanged rows
  too and cannot tell what it did;
- the newest run of each job in a log of some 100,000 rows.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.base import table_of
from flows.database.engine import create_engine
from flows.database.migrate import migrate
from flows.monitoring.log.rows import latest_run_of_each_job, latest_runs, latest_success
from flows.monitoring.tables import MonitoredJob
from flows.polling.storage.articles import store_articles
from flows.polling.storage.entities import seed_entities
from flows.polling.storage.tables import Article
from tests.database.postgresql_server import postgresql_server, run_statements

ARTICLES = 1_000
DATABASE = "vibecheck_benchmark"
JOBS = ("poll_news", "poll_stories", "pipeline_status")
NOW = datetime(2026, 9, 7, 12, tzinfo=UTC)

Work = Callable[[AsyncConnection], Awaitable[object]]


def main() -> None:
    """Measure, and print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log-rows", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with postgresql_server() as server:
        run_statements(server, f'DROP DATABASE IF EXISTS "{DATABASE}"', f'CREATE DATABASE "{DATABASE}"')
        try:
            url = server.set(database=DATABASE).render_as_string(hide_password=False)
            asyncio.run(measure(url, arguments.log_rows, arguments.repeat))
        finally:
            run_statements(server, f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


async def measure(url: str, log_rows: int, repeat: int) -> None:
    """All measurements on the empty database at `url`; the median of `repeat` each."""
    engine = create_engine(url)
    await migrate(engine)
    async with engine.begin() as connection:
        await seed_entities(connection, [("Claude", "model")])
    await measure_upserts(engine, repeat)
    await measure_log(engine, log_rows, repeat)
    await engine.dispose()


async def measure_upserts(engine: AsyncEngine, repeat: int) -> None:
    """Store 1,000 articles: new, known, partly revised; ours and the plain way."""
    batches = [[article() for _ in range(ARTICLES)] for _ in range(repeat)]
    revised = [
        [{**row, "title": "Revised"} if number % 10 == 0 else row for number, row in enumerate(batch)]
        for batch in batches
    ]
    for what, versions in (("new", batches), ("identical", batches), ("a tenth revised", revised)):
        counts: list[object] = []

        def store(rows: list[dict[str, Any]], counts: list[object] = counts) -> Work:
            links: dict[UUID, Sequence[str]] = {row["article_id"]: ["Claude"] for row in rows}

            async def work(connection: AsyncConnection) -> None:
                counts.append(await store_articles(connection, rows, links))

            return work

        await report(engine, f"{ARTICLES:,} articles with links, {what}", [store(rows) for rows in versions])
        sys.stdout.write(f"    {counts[-1]}\n")
    fresh = [[article() for _ in range(ARTICLES)] for _ in range(repeat)]
    for what, versions in (("new", fresh), ("identical", fresh)):
        await report(engine, f"plain executemany, no links, {what}", [plain(rows) for rows in versions])


def plain(rows: list[dict[str, Any]]) -> Work:
    """The way that writes every row: to compare with."""
    statement = insert_postgresql(table_of(Article))
    changes = {name: statement.excluded[name] for name in rows[0] if name != "article_id"}
    statement = statement.on_conflict_do_update(index_elements=["article_id"], set_=changes)
    return lambda connection: connection.execute(statement, rows)


async def measure_log(engine: AsyncEngine, rows: int, repeat: int) -> None:
    """Ask for newest rows in a log of `rows` rows."""
    names = ", ".join(f"'{name}'" for name in JOBS)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO scheduler_execution_log (execution_id, job_name, status, attempt, started_at, metadata) "  # noqa: S608  # our own names
                f"SELECT gen_random_uuid(), (ARRAY[{names}])[1 + n % {len(JOBS)}], "
                "CASE WHEN n % 20 = 0 THEN 'skipped' ELSE 'success' END, 1, "
                "now() - (:rows - n) * interval '1 minute', '{}' FROM generate_series(1, :rows) AS n"
            ),
            {"rows": rows},
        )
        for name in (*JOBS, "never_ran"):
            await connection.execute(
                insert(MonitoredJob).values(
                    job_name=name,
                    interval_seconds=900,
                    schedule=[],
                    since=NOW,
                    paused=False,
                    planned_runs=3,
                    status="healthy",
                    status_since=NOW,
                    bad_streak=0,
                )
            )
    async with engine.begin() as connection:
        await connection.execute(text("ANALYZE"))
    questions: dict[str, Work] = {
        "newest run of each of 4 jobs": latest_run_of_each_job,
        "the last 60 runs of a job": lambda connection: latest_runs(connection, JOBS[0], 60),
        "newest success of a job": lambda connection: latest_success(connection, JOBS[0]),
        "for comparison, DISTINCT ON": lambda connection: connection.execute(
            text("SELECT DISTINCT ON (job_name) * FROM scheduler_execution_log ORDER BY job_name, started_at DESC")
        ),
    }
    for what, ask in questions.items():
        await report(engine, f"{rows:,} log rows: {what}", [ask] * max(repeat, 5))


async def report(engine: AsyncEngine, what: str, works: Sequence[Work]) -> None:
    """Do each work in a transaction of its own, and print the median of their times."""
    seconds: list[float] = []
    for work in works:
        async with engine.begin() as connection:
            began = time.perf_counter()
            await work(connection)
            seconds.append(time.perf_counter() - began)
    sys.stdout.write(f"{statistics.median(seconds) * 1000:9.2f} ms  {what}\n")


def article() -> dict[str, Any]:
    """A new article of about 3 kB."""
    identifier = uuid4()
    return {
        "article_id": identifier,
        "url": f"https://news.example/{identifier}",
        "title": f"Claude and others, {identifier}",
        "english_title": None,
        "summary": "A model was released, and people wrote about it. " * 40,
        "key_points": [f"Point {number}: something happened somewhere." for number in range(20)],
        "published_at": NOW,
        "crawled_at": NOW,
        "sentiment": 0,
        "entities": {"Product": ["Claude"], "Organization": ["Anthropic"]},
        "classification": ["Technology"],
        "keywords": ["models", "tools"],
        "language": "en",
        "country": "US",
        "source_name": "Example",
        "domain": "news.example",
        "page_rank": 10,
        "image_url": None,
        "provocative": "unknown",
        "reporting_voice": "Objective",
        "bias": "None",
        "content_type": None,
        "altered_fields": [],
    }


if __name__ == "__main__":
    main()
