"""Bring the database's schema to the revision that the code needs. Configured here: there is no alembic.ini."""

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading

# Any number will do, as long as nobody else locks it: it stands for the schema of this pipeline.
_MIGRATION_LOCK = 0x76696265

logger = structlog.stdlib.get_logger()


async def migrate(engine: AsyncEngine) -> str:
    """Upgrade the schema to the newest revision and return its revision. Safe to call twice, and twice at once.

    A schema that newer code has migrated is left alone, with a warning: a release only adds, so that the code of the
    release before works on it. One transaction: a migration that fails changes nothing. Raises DatabaseUnavailable.
    """
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A migration may take longer than a statement of the pipeline, and so may the wait for another one.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # SQLite needs no lock of its own: every transaction that is not `reading` holds the database's write lock.
        return await connection.run_sync(_upgrade)


async def revision_of(engine: AsyncEngine) -> str | None:
    """The revision of the database's schema, or None before the first migration. Raises DatabaseUnavailable."""
    async with reading(engine) as connection:
        return await connection.run_sync(_current_revision)


def newest_revision() -> str:
    """The revision that the code needs."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert revision is not None  # noqa: S101  # there is at least one
    return revision


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, to run its commands on `connection` (in the transaction that is open there)."""
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> str:
    """Upgrade what this code can upgrade; gives the revision that the schema then has."""
    config = alembic_config(connection)
    current, newest = _current_revision(connection), newest_revision()
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
    return MigrationContext.configure(connection).get_current_revision()
