"""Connections to the pipeline's database, set up so that several processes can write at once and none waits for ever.

An engine belongs to the event loop that it was made in: make it there, and dispose of it there.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
import asyncpg
from sqlalchemy import URL, Connection, Dialect, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from flows.settings import MonitoringSettings

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
# A transaction here never waits for the network: one that idles belongs to a machine that is gone, and holds locks.
IDLE_TRANSACTION_SECONDS = 60.0

# What a database says that is there and cannot do what is asked of it now: no disk, memory or connection is left, a
# lock is not given in time, it only reads, or it is broken. PostgreSQL's SQLSTATE or its class, SQLite's result code.
_REFUSALS = ("25006", "53", "55P03", "57014", "58", "XX")
_SQLITE_REFUSALS = frozenset(
    (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL)
)

_READ_ONLY = "vibecheck_read_only"
_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
_EXAMPLES = "It looks like postgresql+asyncpg://user:password@host:5432/name or sqlite+aiosqlite:////folder/file.db."


class DatabaseUnavailable(Exception):
    """The pipeline's database cannot be reached, was lost, or refuses. The text holds no password and no values."""


# What a statement may raise: the database is away, or not what the statement expects, as with another schema.
DATABASE_ERRORS = (DatabaseUnavailable, SQLAlchemyError)


def create_engine(url: str, *, keep_files_open: bool = True, keep_connections: bool = True) -> AsyncEngine:
    """Make an engine for `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`); nothing is opened yet.

    Without `keep_files_open`, a file is open only while it is used: one that is put in its place is seen by the next
    transaction, and not for the first time after a restart. Without `keep_connections`, no connection is kept between
    two transactions, so that the engine serves every event loop.
    Its connections raise DatabaseUnavailable when the database cannot be reached, goes away, or refuses for a reason of
    its own (its disk is full, it only reads, a table stays locked). Raises DatabaseUnavailable also for an address that
    is none of these.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The parser's own message may quote the address, with its password.
        raise DatabaseUnavailable(f"The database's address is not a valid SQLAlchemy URL. {_EXAMPLES}") from None
    options = _engine_options(parsed, keep_files_open, keep_connections)
    return _configured(create_async_engine(parsed, connect_args=_connect_arguments(parsed), **options))


async def engine_from_settings(
    settings: MonitoringSettings, *, keep_files_open: bool = True, keep_connections: bool = True
) -> AsyncEngine:
    """Return the engine of the configured prefect-sqlalchemy block, else of the configured or default address.

    `keep_files_open` and `keep_connections` are those of `create_engine`.

    Raises DatabaseUnavailable if there is no such block, or Prefect's server cannot be asked for it.
    """
    if settings.database_block is not None:
        return await _engine_from_block(settings.database_block, keep_files_open, keep_connections)
    if settings.database_url is None:
        settings.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return create_engine(
        settings.effective_database_url(), keep_files_open=keep_files_open, keep_connections=keep_connections
    )


@asynccontextmanager
async def opened_engine(settings: MonitoringSettings, *, keep_files_open: bool = True) -> AsyncGenerator[AsyncEngine]:
    """Yield the engine of `engine_from_settings`, disposed of at the end. Raises DatabaseUnavailable as that does."""
    engine = await engine_from_settings(settings, keep_files_open=keep_files_open)
    try:
        yield engine
    finally:
        await engine.dispose()


def database_shown(settings: MonitoringSettings) -> str:
    """Say which database the settings name, for people to read: never with its password."""
    if settings.database_block is not None:
        return f"of the block {settings.database_block!r}"
    return make_url(settings.effective_database_url()).render_as_string(hide_password=True)


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection, None]:
    """Yield a connection in a transaction that only reads: it takes no write lock on SQLite, so readers never queue."""
    async with engine.connect() as connection:
        await connection.execution_options(**{_READ_ONLY: True, "postgresql_readonly": True})
        async with connection.begin():
            yield connection


async def _engine_from_block(name: str, keep_files_open: bool, keep_connections: bool) -> AsyncEngine:
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
    ours, theirs = _connect_arguments(url), connector.connect_args or {}
    connector.connect_args = {**ours, **theirs}
    if "server_settings" in ours and "server_settings" in theirs:
        connector.connect_args["server_settings"] = {**ours["server_settings"], **theirs["server_settings"]}
    return _configured(connector.get_engine(**_engine_options(url, keep_files_open, keep_connections)))


def _connect_arguments(url: URL) -> dict[str, Any]:
    match url.drivername:
        case "sqlite+aiosqlite":
            # A writer waits so long for another one. Without an isolation level the driver leaves it to us to begin
            # transactions: its own begin late, and as readers.
            return {"timeout": CONNECT_SECONDS, "isolation_level": None}
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


def _engine_options(url: URL, keep_files_open: bool, keep_connections: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"hide_parameters": True}
    is_postgresql = url.get_backend_name() == "postgresql"
    if not keep_connections or not (is_postgresql or keep_files_open):
        options["poolclass"] = NullPool
    elif is_postgresql:
        options |= {"pool_size": 3, "max_overflow": 2, "pool_timeout": CONNECT_SECONDS, "pool_pre_ping": True}
    return options


def _configured(engine: AsyncEngine) -> AsyncEngine:
    """Put our handlers on `engine`, once."""
    if event.contains(engine.sync_engine, "do_connect", _connect):
        return engine
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "handle_error", _translate_error)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _connect(
    dialect: Dialect, _entry: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> DBAPIConnection:
    """Connect as SQLAlchemy does, and give every failure one type."""
    try:
        connection = dialect.connect(*arguments, **options)
        if dialect.name == "sqlite":
            _prepare_sqlite(connection)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, dialect.loaded_dbapi.Error) as error:
        raise DatabaseUnavailable(_explain("The database cannot be reached", error)) from None
    except TypeError as error:
        # Of a block, or of an old database: the settings' own address was checked.
        what = "The database's address has an argument that its driver does not take"
        raise DatabaseUnavailable(_explain(what, error)) from None
    return connection


def _translate_error(context: ExceptionContext) -> DatabaseUnavailable | None:
    """Turn the loss of a connection, and a refusal, into DatabaseUnavailable; other errors stay what they are."""
    # A driver's timeout, of a server that no longer answers, counts as a loss. The caller's own cancellation costs the
    # connection as well, but must arrive as what it is. And what its own ping finds, the pool has to recognise.
    error = context.original_exception
    if context.is_pre_ping or not isinstance(error, Exception):
        return None
    if context.is_disconnect:
        return DatabaseUnavailable(_explain("The connection to the database was lost", error))
    if _is_refusal(error):
        return DatabaseUnavailable(_explain("The database refuses", error))
    return None


def _is_refusal(error: Exception) -> bool:
    """Whether the error is the database's own state, and not what was asked of it."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_REFUSALS
    return str(getattr(error, "sqlstate", "")).startswith(_REFUSALS)


def _explain(what: str, error: BaseException) -> str:
    # SQLAlchemy wraps the driver's own error, since 2.1 twice. The drivers' messages name hosts, ports, users and
    # files, never a password.
    while isinstance(cause := getattr(error, "orig", None), BaseException):
        error = cause
    return f"{what}: {type(error).__name__}: {error}".rstrip(": ")


def _prepare_sqlite(connection: Any) -> None:  # the driver's adapter
    async def prepare(driver: aiosqlite.Connection) -> None:
        try:
            await driver.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL")
            await _turn_on_wal(driver)
        except BaseException:
            await driver.close()
            raise

    connection.run_async(prepare)


async def _turn_on_wal(driver: aiosqlite.Connection) -> None:
    # The file keeps the mode, so only its first users do something here. While one of them does, SQLite turns the
    # others away at once, without the wait that it grants elsewhere.
    give_up = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            await driver.executescript("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes cannot wait for another writer: SQLite refuses it at once with
    # "database is locked". One that declares itself a writer at the beginning waits its turn.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
