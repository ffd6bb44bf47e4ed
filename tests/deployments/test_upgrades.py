"""A release can be rolled out while the one before it still runs: each schema serves the previous release's code.

`releases/` holds, frozen, what each release relied on. Contracting (dropping what the last release used) comes one
release later: then its file goes.
"""

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Double,
    MetaData,
    Table,
    Text,
    Uuid,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from deployments.commands.apply import prepare_database
from flows.database.engine import create_engine
from flows.database.migrate import alembic_config, migrate, newest_revision, revision_of
from flows.database.types import UtcDateTime
from flows.settings import Settings
from tests.support.schema_snapshot import FOLDER, snapshot

RELEASES = sorted(FOLDER.glob("*.json"))
# The type that PostgreSQL names, and a value of it. The same value everywhere, so that references hold.
_TYPES: dict[str, tuple[TypeEngine[Any], object]] = {
    "UUID": (Uuid(), UUID("00000000-0000-4000-8000-000000000001")),
    "TEXT": (Text(), "text"),
    "VARCHAR": (Text(), "text"),
    "TIMESTAMP": (UtcDateTime(), datetime(2026, 9, 7, tzinfo=UTC)),
    "DATE": (Date(), date(2026, 9, 7)),
    "INTEGER": (BigInteger(), 1),
    "BIGINT": (BigInteger(), 1),
    "DOUBLE PRECISION": (Double(), 0.5),
    "BOOLEAN": (Boolean(), True),
    "JSON": (JSON(), {"key": "value"}),
    "JSONB": (JSON().with_variant(postgresql.JSONB(), "postgresql"), {"key": "value"}),
}


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def tables_of(release: Path) -> list[tuple[Table, dict[str, Any], dict[str, Any]]]:
    """The release's tables, as its own code knew them, each with a row and its frozen description."""
    metadata = MetaData()
    found: list[tuple[Table, dict[str, Any], dict[str, Any]]] = []
    for name, frozen in load(release)["tables"].items():
        columns: list[Column[Any]] = []
        row: dict[str, Any] = {}
        for column, description in frozen["columns"].items():
            kind, row[column] = _TYPES[description["type"].split("(")[0]]
            columns.append(Column(column, kind, primary_key=column in frozen["primary_key"]))
        found.append((Table(name, metadata, *columns), row, frozen))
    return found


async def write_a_row_into_each_table(engine: AsyncEngine, release: Path) -> None:
    async with engine.begin() as connection:
        for table, row, _ in tables_of(release):
            await connection.execute(table.insert().values(row))


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def release(request: pytest.FixtureRequest) -> Path:
    return request.param


async def test_the_release_before_finds_all_that_it_used(database: AsyncEngine, release: Path) -> None:
    async with database.connect() as connection:
        now = await connection.run_sync(snapshot)
    is_postgresql = database.dialect.name == "postgresql"
    for name, before in load(release)["tables"].items():
        after = now[name]
        assert before["columns"].keys() <= after["columns"].keys(), name
        for column, frozen in before["columns"].items():
            if is_postgresql:  # SQLite names its types otherwise, and numbers rows without saying so
                assert after["columns"][column]["type"] == frozen["type"], (name, column)
                assert after["columns"][column]["optional"] or not frozen["optional"], (name, column)
        demanded = [
            column
            for column, description in after["columns"].items()
            if column not in before["columns"] and not description["optional"]
        ]
        assert demanded == [], f"{name}: the release before does not fill these; give them a default"


async def test_the_releases_statements_work(database: AsyncEngine, release: Path) -> None:
    """Inserting, inserting again with `on conflict`, changing, reading and deleting rows by its columns alone."""
    await write_a_row_into_each_table(database, release)
    insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert
    tables = tables_of(release)
    async with database.begin() as connection:
        for table, row, frozen in tables:
            for key in [frozen["primary_key"], *frozen["unique"]]:
                await connection.execute(insert(table).values(row).on_conflict_do_update(index_elements=key, set_=row))
            await connection.execute(update(table).values(row))
            assert (await connection.execute(select(table))).mappings().one() == row
        for table, _, _ in reversed(tables):
            assert (await connection.execute(delete(table))).rowcount == 1


async def test_migrating_from_the_release_keeps_its_rows(empty_database_url: str, release: Path) -> None:
    def upgrade_to_the_release(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), load(release)["revision"])

    engine = create_engine(empty_database_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade_to_the_release)
        await write_a_row_into_each_table(engine, release)

        await migrate(engine)

        assert await revision_of(engine) == newest_revision()
        async with engine.connect() as connection:
            for table, row, _ in tables_of(release):
                assert (await connection.execute(select(table))).mappings().one() == row
    finally:
        await engine.dispose()


async def test_two_applies_at_once_prepare_one_database(empty_database_url: str) -> None:
    settings = Settings(_env_file=None, database_url=empty_database_url)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's

    await asyncio.gather(*(prepare_database(settings) for _ in range(3)))

    engine = create_engine(empty_database_url)
    try:
        assert await revision_of(engine) == newest_revision()
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda sync: Table("tracked_entities", MetaData(), autoload_with=sync))
            names, distinct = (
                await connection.execute(select(func.count(found.c.name), func.count(found.c.name.distinct())))
            ).one()
        assert names == distinct > 0
    finally:
        await engine.dispose()


async def test_a_release_taken_back_applies_to_the_nexts_schema(database_url: str) -> None:
    engine = create_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE tracked_entities ADD COLUMN of_the_next_release TEXT"))
            await connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))

        await prepare_database(Settings(_env_file=None, database_url=database_url))  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic's

        assert await revision_of(engine) == "0099"
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM tracked_entities"))).scalar_one() > 0
    finally:
        await engine.dispose()
