"""Migrations build what the models say, on both databases, and take it away again."""

import asyncio
from datetime import UTC, datetime

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

import flows.monitoring.tables  # pyright: ignore[reportUnusedImport]  # registers its models
import flows.polling.storage.tables  # noqa: F401  # pyright: ignore[reportUnusedImport]  # and so does this
from flows.database.base import Base
from flows.database.engine import create_engine, reading
from flows.database.migrate import alembic_config, migrate, newest_revision, revision_of
from flows.monitoring.log.watermark import read_watermark
from flows.polling.storage.cursors import CursorRow, read_cursor
from flows.polling.storage.tables import Cursor

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_an_empty_database_is_migrated_to_the_newest_revision(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    assert await revision_of(engine) is None

    assert await migrate(engine) == newest_revision()

    assert await revision_of(engine) == newest_revision()
    assert set(Base.metadata.tables) <= set(await table_names(engine))
    await engine.dispose()


async def test_the_migrated_schema_is_the_models_schema(database: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async with database.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_down_leaves_no_table(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))

    assert await table_names(database) == ["alembic_version"]


async def test_migrating_twice_at_once_is_as_good_as_once(empty_database_url: str) -> None:
    engines = [create_engine(empty_database_url) for _ in range(4)]

    assert await asyncio.gather(*(migrate(engine) for engine in engines)) == [newest_revision()] * 4

    for engine in engines:
        await engine.dispose()


async def test_every_known_revision_is_brought_to_the_newest(empty_database_url: str) -> None:
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    assert newest_revision() in revisions
    engine = create_engine(empty_database_url)

    def start_from(connection: Connection, revision: str) -> None:
        command.downgrade(alembic_config(connection), "base")
        command.upgrade(alembic_config(connection), revision)

    await migrate(engine)
    for revision in revisions:
        async with engine.begin() as connection:
            await connection.run_sync(start_from, revision)
        with capture_logs() as logs:
            assert await migrate(engine) == newest_revision()
        assert await revision_of(engine) == newest_revision()
        assert [entry for entry in logs if entry["log_level"] == "warning"] == []
    await engine.dispose()


async def test_a_newer_codes_schema_is_left_alone_with_a_warning(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE articles ADD COLUMN of_the_next_release TEXT"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))

    with capture_logs() as logs:
        assert await migrate(database) == "0099"

    assert await revision_of(database) == "0099"
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == ("schema_is_newer", "warning")
    assert (warning["revision"], warning["newest_known"]) == ("0099", newest_revision())
    async with database.connect() as connection:
        await connection.execute(text("SELECT of_the_next_release FROM articles"))


async def test_the_reconcilers_watermark_moves_to_its_own_table(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "0002"))
        await connection.execute(insert(Cursor).values(job_name="pipeline_status", scope="reconcile", watermark=NOON))
    await migrate(engine)
    async with reading(engine) as connection:
        assert await read_watermark(connection) == NOON
        # The release before may still run: its own row stays.
        assert await read_cursor(connection, "pipeline_status", "reconcile") == CursorRow(NOON)
    await engine.dispose()


async def table_names(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: inspect(sync).get_table_names())
