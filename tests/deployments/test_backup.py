"""The backup and the restore that docs/operations.md tells, with PostgreSQL's own programs."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, func, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.database.migrate import newest_revision, revision_of
from flows.monitoring.log.record import Closing, Fact, record
from flows.monitoring.log.rows import read_rows
from flows.monitoring.tables import ExecutionLog
from flows.polling.storage.entities import seed_entities
from tests.database.postgresql_server import programs, run_statements

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


def program(name: str) -> str:
    beside_the_server = programs() / name
    found = str(beside_the_server) if beside_the_server.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


def run(name: str, url: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs against `url`."""
    assert url.host is not None
    assert url.username is not None
    connection = ["--host", url.host, "--port", str(url.port), "--username", url.username]
    done = subprocess.run(
        [program(name), *connection, *arguments],
        env={**os.environ, "PGPASSWORD": url.password or ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def log_a_run(engine: AsyncEngine) -> Fact:
    fact = Fact(uuid4(), "poll_news", NOW, 1, NOW, Closing("success", NOW, "flow", details={"fetched": 7}))
    async with engine.begin() as connection:
        await record(connection, fact)
    return fact


async def test_a_restored_dump_goes_on_where_the_lost_one_stopped(
    postgresql_url: str, postgresql_address: URL, tmp_path: Path
) -> None:
    lost, dump, restored_name = make_url(postgresql_url), tmp_path / "vibecheck.dump", "vibecheck_test_restored"
    engine = create_engine(postgresql_url)
    fact = await log_a_run(engine)
    async with engine.begin() as connection:
        entities = await seed_entities(connection, [("GPT", "model"), ("Cursor", "tool")])
    await engine.dispose()

    run("pg_dump", lost, "--format", "custom", "--file", str(dump), str(lost.database))
    run_statements(postgresql_address, f"CREATE DATABASE {restored_name} TEMPLATE template0")
    restored = create_engine(lost.set(database=restored_name).render_as_string(hide_password=False))
    try:
        run("pg_restore", lost, "--exit-on-error", "--no-owner", "--dbname", restored_name, str(dump))

        assert await revision_of(restored) == newest_revision()
        async with reading(restored) as connection:
            row = (await read_rows(connection, [fact.execution_id]))[fact.execution_id]
        assert (row.status, row.started_at, row.details["fetched"]) == ("success", NOW, 7)
        # Numbering goes on, and what is there is recognized.
        await log_a_run(restored)
        async with restored.begin() as connection:
            assert not await record(connection, fact)
            assert await seed_entities(connection, [("GPT", "model"), ("Cursor", "tool")]) == entities
            assert (await connection.execute(select(func.count(ExecutionLog.id)))).scalar_one() == 2
    finally:
        await restored.dispose()
        run_statements(postgresql_address, f"DROP DATABASE {restored_name} WITH (FORCE)")
