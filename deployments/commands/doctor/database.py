"""The pipeline's database: whether it answers, has the schema that this code needs, and takes what is written."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.doctor.checks import Check, Finding, Mark, in_short
from deployments.commands.doctor.machine import sqlite_file
from flows.database.clock import database_now
from flows.database.engine import DATABASE_ERRORS, DatabaseUnavailable, database_shown, opened_engine, reading
from flows.database.migrate import is_watch_only, newest_revision, revision_of
from flows.monitoring.log.record import Fact, record
from flows.settings import Settings

SUBJECT = "database"
MIGRATES = "Migrate it: `vibecheck apply` (or `vibecheck up`, which does so as it starts)."


def database_checks(settings: Settings) -> list[Check]:
    """Return the checks of the database."""
    return [Check(SUBJECT, partial(look_at_database, settings))]


async def look_at_database(settings: Settings) -> Sequence[Finding]:
    """Look whether the database is reachable, migrated and writable. Nothing is made, and nothing stays written."""
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        return [Finding(SUBJECT, Mark.FAILURE, f"There is no file {file} yet.", MIGRATES)]
    try:
        async with opened_engine(settings) as engine:
            return [await _state(engine, database_shown(settings) if file is None else str(file))]
    except DatabaseUnavailable as error:
        to_do = "Start it, or correct VIBECHECK_DATABASE_URL (or VIBECHECK_DATABASE_BLOCK)."
        return [Finding(SUBJECT, Mark.FAILURE, str(error), to_do)]


@asynccontextmanager
async def existing_database(settings: Settings) -> AsyncGenerator[AsyncEngine]:
    """Yield the engine of the database, without making its file. Raises DatabaseUnavailable also if it is not there."""
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        raise DatabaseUnavailable(f"there is no file {file} yet")
    async with opened_engine(settings) as engine:
        yield engine


async def database_ahead(settings: Settings) -> timedelta | None:
    """Return how far the database's clock is ahead of ours, None if it does not answer."""
    try:
        async with existing_database(settings) as engine, reading(engine) as connection:
            before = datetime.now(UTC)
            theirs = await database_now(connection)
            return theirs - (before + (datetime.now(UTC) - before) / 2)
    except DATABASE_ERRORS:
        return None


async def only_watches(settings: Settings) -> bool:
    """Return whether the database is there, and has nothing of the polls."""
    try:
        async with existing_database(settings) as engine:
            return await is_watch_only(engine)
    except DATABASE_ERRORS:
        return False


async def _state(engine: AsyncEngine, shown: str) -> Finding:
    revision, newest = await revision_of(engine), newest_revision()
    if revision is None:
        return Finding(SUBJECT, Mark.FAILURE, f"{shown} answers, but was never migrated.", MIGRATES)
    # Revisions are numbers in text, of the same length.
    if revision < newest:
        text = f"{shown} has the schema {revision}, and this code needs {newest}."
        return Finding(SUBJECT, Mark.FAILURE, text, MIGRATES)
    if problem := await _refusal_to_write(engine):
        to_do = "Monitored runs and the status flow must write: give them a role, or a file, that they can write to."
        return Finding(SUBJECT, Mark.FAILURE, f"{shown} can be read, but not written: {problem}", to_do)
    if revision > newest:
        text = f"{shown} answers; a newer release than this one migrated it ({revision}; known here: {newest})."
        return Finding(SUBJECT, Mark.WARNING, text, "Upgrade this installation too.")
    return Finding(SUBJECT, Mark.WELL, f"{shown} answers, is migrated ({revision}) and can be written.")


async def _refusal_to_write(engine: AsyncEngine) -> str | None:
    """Return why the log takes no row, None if it takes one. That row is rolled back."""
    fact = Fact(execution_id=uuid4(), job_name="doctor", scheduled_for=None, attempt=1, started_at=datetime.now(UTC))
    try:
        async with engine.connect() as connection, connection.begin() as transaction:
            await record(connection, fact)
            await transaction.rollback()
    except DBAPIError as error:
        return in_short(error.orig or error)
    except DATABASE_ERRORS as error:
        return in_short(error)
    return None
