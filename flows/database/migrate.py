"""Bring the database's schema to the revision that the code needs. Configured here: there is no alembic.ini."""

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import DatabaseUnavailable, reading
from flows.database.parts import MONITORING, MONITORING_TABLES, MONITORING_VERSION, REST, WHOLE, Part

# Any number will do, as long as nobody else locks it: it stands for the schema of this pipeline.
_MIGRATION_LOCK = 0x76696265

logger = structlog.stdlib.get_logger()


async def migrate(engine: AsyncEngine, *, watch_only: bool = False) -> str:
    """Upgrade the schema to the newest revision and return its revision. Safe to call twice, and twice at once.

    With `watch_only` a new database gets the monitoring's tables alone. Without it later, it gets the others as well,
    and is from then on like any other; a database that has them all keeps them either way.

    A schema that newer code has migrated is left alone, with a warning: a release only adds, so that the code of the
    release before works on it. One transaction: a migration that fails changes nothing. Raises DatabaseUnavailable.
    """
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A migration may take longer than a statement of the pipeline, and so may the wait for another one.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # SQLite needs no lock of its own: every transaction that is not `reading` holds the database's write lock.
        return await connection.run_sync(_upgrade, watch_only)


async def revision_of(engine: AsyncEngine) -> str | None:
    """Return the revision of the database's schema, or None before the first migration. Raises DatabaseUnavailable."""
    async with reading(engine) as connection:
        return await connection.run_sync(_current_revision)


async def is_watch_only(engine: AsyncEngine) -> bool:
    """Return whether the database holds the monitoring's tables alone. Raises DatabaseUnavailable."""
    async with reading(engine) as connection:
        return await connection.run_sync(lambda sync: inspect(sync).has_table(MONITORING_VERSION))


def newest_revision() -> str:
    """Return the revision that the code needs."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert revision is not None  # noqa: S101  # there is at least one
    return revision


def alembic_config(connection: Connection | None = None, part: Part = WHOLE) -> Config:
    """Return Alembic's configuration, to run its commands on `connection` (in the transaction that is open there)."""
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["part"] = part
    return config


def _upgrade(connection: Connection, watch_only: bool) -> str:
    tables = set(inspect(connection).get_table_names())
    if MONITORING_VERSION not in tables:
        is_new = not tables & MONITORING_TABLES
        if watch_only and is_new:
            return _upgrade_part(connection, MONITORING)
        _refuse_foreign_migrations(connection)
        return _upgrade_part(connection, WHOLE)
    revision = _upgrade_part(connection, MONITORING)
    # Where newer code has migrated the monitoring's tables, it alone can join them with the rest.
    if watch_only or revision != newest_revision():
        return revision
    if _revision_of_part(connection, REST) is not None:
        raise DatabaseUnavailable(
            "This database holds the monitoring beside another project's tables: the whole pipeline needs a database "
            "of its own."
        )
    _upgrade_part(connection, REST)
    connection.execute(text(f"DROP TABLE {MONITORING_VERSION}"))
    return revision


def _upgrade_part(connection: Connection, part: Part) -> str:
    """Upgrade what this code can upgrade. Return the revision that the part then has."""
    config = alembic_config(connection, part)
    current, newest = _revision_of_part(connection, part), newest_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is None or current in known:
        command.upgrade(config, "head")
        return newest
    logger.warning(
        "schema_is_newer",
        revision=current,
        newest_known=newest,
        explanation="A newer release has migrated this database. Its schema is left alone: this release works on it.",
    )
    return current


def _current_revision(connection: Connection) -> str | None:
    if inspect(connection).has_table(MONITORING_VERSION):
        return _revision_of_part(connection, MONITORING)
    _refuse_foreign_migrations(connection)
    return _revision_of_part(connection, WHOLE)


def _refuse_foreign_migrations(connection: Connection) -> None:
    """Raise DatabaseUnavailable where another project fills `alembic_version`: it has a revision, and we have no table.

    Its numbers tell nothing: they may be like ours.
    """
    # As many as there are: another project may have branches.
    heads = MigrationContext.configure(connection).get_current_heads()
    if heads and not MONITORING_TABLES & set(inspect(connection).get_table_names()):
        raise DatabaseUnavailable(
            f"This database belongs to another project's migrations (alembic_version: {', '.join(heads)}), and the "
            "whole pipeline needs one of its own (VIBECHECK_DATABASE_URL). The monitoring alone can stand there: "
            "`vibecheck apply --watch-only`."
        )


def _revision_of_part(connection: Connection, part: Part) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": part.version_table})
    return context.get_current_revision()
