"""Troubles that a database can be in while it runs: each as a context in which it is in it.

Each is made for a database's address, so that whoever opens that database meets it.
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import asyncpg
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

Trouble = Callable[[str], AbstractAsyncContextManager[None]]
# What every poll and every hook writes to.
TABLES = "articles, scheduler_execution_log"


@asynccontextmanager
async def _administrator(url: str) -> AsyncGenerator[AsyncConnection]:
    # A database that only reads must let itself be put right.
    writes = {"server_settings": {"default_transaction_read_only": "off"}}
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=writes)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@asynccontextmanager
async def only_reads(url: str) -> AsyncGenerator[None]:
    """PostgreSQL accepts no write, as a standby does, or a server whose disk its operator protects."""
    name = make_url(url).database
    async with _administrator(url) as connection:
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        yield
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


@asynccontextmanager
async def disk_is_full(url: str) -> AsyncGenerator[None]:
    """PostgreSQL answers each new row with what it says when its disk is full."""
    says = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"
    async with _at_each_new_row(url, says):
        yield


@asynccontextmanager
async def it_restarts(url: str) -> AsyncGenerator[None]:
    """PostgreSQL ends each connection that writes: what its clients see of immediate restarts."""
    async with _at_each_new_row(url, "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW"):
        yield


@asynccontextmanager
async def _at_each_new_row(url: str, statements: str) -> AsyncGenerator[None]:
    async with _administrator(url) as connection:
        await connection.exec_driver_sql(
            f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statements}; END $$"
        )
        for table in TABLES.split(", "):
            await connection.exec_driver_sql(
                f"CREATE TRIGGER trouble BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION trouble()"
            )
        yield
        await connection.exec_driver_sql("DROP FUNCTION trouble CASCADE")


@asynccontextmanager
async def tables_are_locked(url: str) -> AsyncGenerator[None]:
    """Somebody holds PostgreSQL's tables, as a VACUUM FULL does, for longer than anybody waits."""
    async with _administrator(url) as connection:
        await connection.exec_driver_sql("BEGIN")
        await connection.exec_driver_sql(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.exec_driver_sql("ROLLBACK")


@asynccontextmanager
async def nobody_is_let_in(url: str) -> AsyncGenerator[None]:
    """PostgreSQL keeps a database closed, as while somebody restores it."""
    name = make_url(url).database
    elsewhere = make_url(url).set(database="template1").render_as_string(hide_password=False)
    async with _administrator(elsewhere) as connection:
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        yield
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


@asynccontextmanager
async def no_connection_is_left(url: str) -> AsyncGenerator[None]:
    """Somebody has taken every connection of PostgreSQL's, which must be nobody else's."""
    async with _administrator(url) as connection, AsyncExitStack() as others:
        left = int(await connection.scalar(text("SHOW max_connections"))) - 1
        while left:
            # Some are still about to be given back.
            with suppress(asyncpg.TooManyConnectionsError, DBAPIError):  # wrapped by SQLAlchemy 2.1
                await others.enter_async_context(_administrator(url))
                left -= 1
        yield


@asynccontextmanager
async def file_is_locked(url: str) -> AsyncGenerator[None]:
    """Another process holds SQLite's write lock, for longer than anybody waits."""
    with closing(sqlite3.connect(_file(url), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.execute("ROLLBACK")


@asynccontextmanager
async def file_is_damaged(url: str) -> AsyncGenerator[None]:
    """SQLite's file is not what it was, until it is restored."""
    file = _file(url)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    yield
    file.write_bytes(whole)


def _file(url: str) -> Path:
    return Path(make_url(url).database or "")


# Each trouble, and what an error says of it.
POSTGRESQL: dict[Trouble, str] = {
    only_reads: "read-only transaction",
    disk_is_full: "No space left on device",
    tables_are_locked: "timeout",
    nobody_is_let_in: "not currently accepting connections",
    it_restarts: "connection to the database was lost",
}
SQLITE: dict[Trouble, str] = {file_is_locked: "database is locked", file_is_damaged: "malformed"}
