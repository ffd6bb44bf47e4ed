"""Connections to the pipeline's database, set up so that several processes can write at once and none waits for ever.

An engine belongs to the event loop that it was made in: make it there, and dispose of it there.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import URL, Connection, Dialect, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from flows.settings import Settings

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
# A transaction here never waits for the network: one that idles belongs to a machine that is gone, and holds locks.
IDLE_TRANSACTION_SECONDS = 60.0

_READ_ONLY = "vibecheck_read_only"
_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")


class DatabaseUnavailable(Exception):
    """The pipeline's database cannot be reached or used. The text never holds a password."""


def create_engine(url: str) -> AsyncEngine:
    """An engine for `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`); nothing is opened yet.

    Its connections raise DatabaseUnavailable when the database cannot be reached or goes away. Raises
    DatabaseUnavailable also for an address that is none of these.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The parser's own message may quote the address, with its password.
        raise DatabaseUnavailable("The database's address is not a valid SQLAlchemy URL.") from None
    return _configured(create_async_engine(parsed, connect_args=_connect_arguments(parsed), **_engine_options(parsed)))


async def engine_from_settings(settings: Settings) -> AsyncEngine:
    """The engine of the configured prefect-sqlalchemy block, else of the configured or default address.

    Raises DatabaseUnavailable if there is no such block, or Prefect's server cannot be asked for it.
    """
    if settings.database_block is not None:
        return await _engine_from_block(settings.database_block)
    if settings.database_url is None:
        settings.data_directory.mkdir(parents=True, exist_ok=True)
    return create_engine(settings.effective_database_url())


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection, None]:
    """A connection in a transaction that only reads: on SQLite it takes no write lock, so readers never queue."""
    async with engine.connect() as connection:
        await connection.execution_options(**{_READ_ONLY: True, "postgresql_readonly": True})
        async with connection.begin():
            yield connection


async def _engine_from_block(name: str) -> AsyncEngine:
    # Imported here because it costs 0.8 s and 20 MB, which a process without a block need not pay.
    from prefect_sqlalchemy import AsyncSqlAlchemyConnector, ConnectionComponents

    try:
        connector = await AsyncSqlAlchemyConnector.aload(name)
    except Exception as error:  # noqa: BLE001  # unknown block, server away, other type: all mean no database
        raise DatabaseUnavailable(
            f"The AsyncSqlAlchemyConnector block {name!r} could not be loaded ({type(error).__name__}). Register it, "
            "check that Prefect's server is reachable, or unset VIBECHECK_DATABASE_BLOCK."
        ) from None
    information = connector.connection_info
    url = information.create_url() if isinstance(information, ConnectionComponents) else make_url(str(information))
    # What the operator put into the block wins over what we would choose.
    connector.connect_args = {**_connect_arguments(url), **(connector.connect_args or {})}
    return _configured(connector.get_engine(**_engine_options(url)))


def _connect_arguments(url: URL) -> dict[str, Any]:
    match url.drivername:
        case "sqlite+aiosqlite":
            # How long a writer waits for another writer.
            return {"timeout": CONNECT_SECONDS}
        case "postgresql+asyncpg":
            return {
                "timeout": CONNECT_SECONDS,
                # The server's limit comes first; this one is for a server that no longer answers.
                "command_timeout": STATEMENT_SECONDS + CONNECT_SECONDS,
                "server_settings": {
                    "application_name": "vibecheck",
                    "statement_timeout": _milliseconds(STATEMENT_SECONDS),
                    "idle_in_transaction_session_timeout": _milliseconds(IDLE_TRANSACTION_SECONDS),
                    "timezone": "UTC",
                },
            }
        case other:
            raise DatabaseUnavailable(f"The database's driver is {other!r}; it must be one of {', '.join(_DRIVERS)}.")


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def _engine_options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "postgresql":
        options |= {"pool_size": 3, "max_overflow": 2, "pool_timeout": CONNECT_SECONDS, "pool_pre_ping": True}
    return options


def _configured(engine: AsyncEngine) -> AsyncEngine:
    """Put our handlers on `engine`, once."""
    if event.contains(engine.sync_engine, "do_connect", _connect):
        return engine
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "handle_error", _translate_error)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _connect(
    dialect: Dialect, _entry: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> DBAPIConnection:
    """Connect as SQLAlchemy does, and give every failure one type."""
    try:
        return dialect.connect(*arguments, **options)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, dialect.loaded_dbapi.Error) as error:
        raise DatabaseUnavailable(_explain("The database cannot be reached", error)) from None


def _translate_error(context: ExceptionContext) -> None:
    """Turn the loss of a connection into DatabaseUnavailable; other errors stay what they are."""
    if context.is_disconnect or isinstance(context.original_exception, OSError):
        context.chained_exception = DatabaseUnavailable(
            _explain("The connection to the database was lost", context.original_exception)
        )


def _explain(what: str, error: BaseException) -> str:
    # The drivers' messages name hosts, ports, users and files, never a password.
    detail = error.orig if isinstance(error, DBAPIError) else error
    return f"{what}: {type(detail).__name__}: {detail}".rstrip(": ")


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:  # the driver's adapter
    # The driver's own transactions begin late and as readers: we begin them ourselves, below.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes cannot wait for another writer: SQLite refuses it at once with
    # "database is locked". One that declares itself a writer at the beginning waits its turn.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
