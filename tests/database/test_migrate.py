"""Migrations build what the models say, on both databases, and take it away again."""

import asyncio

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import Base
from flows.database.engine import create_engine
from flows.database.migrate import alembic_config, migrate, newest_revision, revision_of


async def test_migrating_an_empty_database_brings_it_to_the_newest_revision(empty_database_url: str) -> None:
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


async def table_names(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: inspect(sync).get_table_names())
