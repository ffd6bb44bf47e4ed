"""A database may hold the monitoring's tables alone, beside those of another project, and become whole later."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

import flows.monitoring.tables
import flows.polling.storage.tables  # pyright: ignore[reportUnusedImport]  # registers its models
from flows.database.base import Base
from flows.database.engine import DatabaseUnavailable, create_engine, reading
from flows.database.migrate import alembic_config, migrate, newest_revision, revision_of
from flows.database.parts import MONITORING, MONITORING_TABLES, MONITORING_VERSION, WHOLE_VERSION
from flows.monitoring.log.watermark import read_watermark, write_watermark

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(empty_database_url)
    yield engine
    await engine.dispose()


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def differences(engine: AsyncEngine, tables: set[str]) -> list[object]:
    """What the models say of `tables` and the database does not, or the reverse."""

    def compare(connection: Connection) -> list[object]:
        def is_included(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
            return kind != "table" or name in tables

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_included})
        return list(compare_metadata(context, Base.metadata))

    async with engine.connect() as connection:
        return await connection.run_sync(compare)


def test_the_part_is_what_the_monitorings_models_say() -> None:
    models = Base.__subclasses__()
    own = {model.__tablename__ for model in models if model.__module__ == flows.monitoring.tables.__name__}
    assert own == MONITORING_TABLES


async def test_watching_only_makes_the_monitorings_tables_alone(empty: AsyncEngine) -> None:
    for _ in range(2):
        assert await migrate(empty, watch_only=True) == newest_revision()

    assert await table_names(empty) == {*MONITORING_TABLES, MONITORING_VERSION}
    assert await revision_of(empty) == newest_revision()
    assert await differences(empty, set(MONITORING_TABLES)) == []


async def test_a_watch_only_database_becomes_whole_and_keeps_its_rows(empty: AsyncEngine) -> None:
    def start_from(connection: Connection, revision: str) -> None:
        command.upgrade(alembic_config(connection, MONITORING), revision)

    for revision in ("0001", newest_revision()):
        async with empty.begin() as connection:
            await connection.run_sync(start_from, revision)
        if revision == newest_revision():
            async with empty.begin() as connection:
                await write_watermark(connection, NOON)

        assert await migrate(empty) == await revision_of(empty) == newest_revision()

        assert await table_names(empty) == {*Base.metadata.tables, WHOLE_VERSION}
        assert await differences(empty, set(Base.metadata.tables)) == []
        async with reading(empty) as connection:
            assert await read_watermark(connection) == (NOON if revision == newest_revision() else None)
        async with empty.begin() as connection:
            await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))


async def test_a_database_that_has_all_tables_keeps_them(database: AsyncEngine) -> None:
    before = await table_names(database)
    assert await migrate(database, watch_only=True) == newest_revision()
    assert await table_names(database) == before == {*Base.metadata.tables, WHOLE_VERSION}


async def test_a_projects_own_alembic_is_left_alone(empty: AsyncEngine) -> None:
    async with empty.begin() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        await connection.execute(text("INSERT INTO alembic_version VALUES ('hers')"))

    await migrate(empty, watch_only=True)

    with pytest.raises(DatabaseUnavailable, match="needs a database of its own"):
        await migrate(empty)

    assert await differences(empty, set(MONITORING_TABLES)) == []
    async with reading(empty) as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one() == "hers"


@pytest.mark.parametrize("revisions", [("9f3c1a77be01",), ("0005",), ("9f3c1a77be01", "b2")])
async def test_a_database_of_other_migrations_is_told_as_such(empty: AsyncEngine, revisions: tuple[str, ...]) -> None:
    async with empty.begin() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        for revision in revisions:
            await connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})

    with pytest.raises(DatabaseUnavailable, match=rf"another project's .*{revisions[0]}.*apply --watch-only"):
        await migrate(empty)
    with pytest.raises(DatabaseUnavailable, match="another project's migrations"):
        await revision_of(empty)

    assert await table_names(empty) == {WHOLE_VERSION}


async def test_a_part_that_newer_code_has_migrated_is_left_alone(empty: AsyncEngine) -> None:
    await migrate(empty, watch_only=True)
    async with empty.begin() as connection:
        await connection.execute(text(f"UPDATE {MONITORING_VERSION} SET version_num = '0099'"))  # noqa: S608  # ours

    assert await migrate(empty) == await migrate(empty, watch_only=True) == await revision_of(empty) == "0099"

    assert await table_names(empty) == {*MONITORING_TABLES, MONITORING_VERSION}
