"""Connections: several writers at once, databases that fail, and what an error may say."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database import engine as engine_module
from flows.database.engine import DatabaseUnavailable, create_engine, engine_from_settings, reading
from flows.database.upserts import upsert
from flows.polling.storage.cursors import CursorRow, read_cursor, write_cursor
from flows.polling.storage.tables import ArticleEntity
from flows.settings import Settings
from tests.database.proxy import Proxy, proxied
from tests.polling.storage.rows import id_of

SECRET = "sentinel-p4ssw0rd"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic-settings


async def test_a_writer_that_reads_first_waits_for_another_writer(database: AsyncEngine) -> None:
    async def write(scope: str) -> None:
        async with database.begin() as connection:
            await read_cursor(connection, "job", scope)
            await asyncio.to_thread(lambda: None)
            await write_cursor(connection, "job", scope, CursorRow(next_offset=scope))

    await asyncio.gather(*(write(str(number)) for number in range(10)))

    async with reading(database) as connection:
        assert await read_cursor(connection, "job", "9") == CursorRow(next_offset="9")


async def test_a_reader_sees_what_is_committed_and_waits_for_no_writer(database: AsyncEngine) -> None:
    async with database.begin() as writer:
        await write_cursor(writer, "job", "", CursorRow(next_offset="1"))
        async with asyncio.timeout(2), reading(database) as reader:
            assert await read_cursor(reader, "job") is None
    async with reading(database) as reader:
        assert await read_cursor(reader, "job") == CursorRow(next_offset="1")


async def test_foreign_keys_hold(database: AsyncEngine) -> None:
    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await upsert(connection, ArticleEntity, [{"article_id": id_of(1), "entity_id": 1}])


async def test_sqlite_connections_keep_a_write_ahead_log(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    async with reading(engine) as connection:
        for pragma, value in {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 1}.items():
            assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value
    await engine.dispose()


async def test_postgresql_connections_have_limits_and_a_name(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    async with reading(engine) as connection:
        for name, value in {
            "statement_timeout": "30s",
            "idle_in_transaction_session_timeout": "1min",
            "application_name": "vibecheck",
            "TimeZone": "UTC",
            "transaction_read_only": "on",
        }.items():
            assert (await connection.execute(text(f"SHOW {name}"))).scalar_one() == value
    async with engine.begin() as connection:
        assert (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "off"
    await engine.dispose()


WRITER = """
import asyncio, sys
from flows.polling.storage.cursors import CursorRow, read_cursor, write_cursor
from flows.database.engine import create_engine

async def main():
    engine = create_engine(sys.argv[1])
    for number in range(25):
        async with engine.begin() as connection:
            last = await read_cursor(connection, "counter")
            count = int(last.next_offset) if last else 0
            await write_cursor(connection, "counter", "", CursorRow(next_offset=str(count + 1)))
    await engine.dispose()

asyncio.run(main())
"""


async def test_several_processes_write_one_sqlite_file_without_loss(sqlite_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, sqlite_url, stderr=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [(await process.communicate())[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, b"".join(errors).decode()
    with sqlite3.connect(make_url(sqlite_url).database or "") as connection:
        assert connection.execute("SELECT next_offset FROM cursors").fetchall() == [("100",)]
    connection.close()


async def test_many_can_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    engines = [create_engine(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}") for _ in range(12)]

    async def use(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(select(1))
        await engine.dispose()

    await asyncio.gather(*map(use, engines))


async def test_opening_a_new_sqlite_file_waits_for_its_first_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.3)
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")

    async def use() -> None:
        async with engine.begin() as connection:
            await connection.execute(select(1))

    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="database is locked"):
            await use()
        assert time.monotonic() - began >= 0.3
        writer.execute("COMMIT")
        await use()
    await engine.dispose()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/x", "cannot be reached: ConnectionRefusedError"),
        (f"postgresql+asyncpg://u:{SECRET}@no-such-host.invalid/x", "cannot be reached: gaierror"),
        ("sqlite+aiosqlite:////no/such/folder/x.db", "cannot be reached: OperationalError: unable to open"),
        (f"sqlite+aiosqlite:///{__file__}", "cannot be reached: DatabaseError: file is not a database"),
        (f"mysql+aiomysql://u:{SECRET}@host/x", r"driver is 'mysql\+aiomysql'; it must be one of sqlite\+aiosqlite"),
        (f"u:{SECRET}@host", "not a valid SQLAlchemy URL"),
        (f"postgresql+asyncpg://u:{SECRET}@host:{SECRET}/x", "not a valid SQLAlchemy URL"),
    ],
)
async def test_an_unreachable_database_is_an_error_without_password(url: str, what: str) -> None:
    async def connect() -> None:
        engine = create_engine(url)
        try:
            async with engine.begin():
                pass
        finally:
            await engine.dispose()

    with pytest.raises(DatabaseUnavailable, match=what) as caught:
        await connect()
    # The driver of SQLite ends its thread without waiting for it when a file cannot be opened.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_wrong_password_is_not_told_in_the_error(postgresql_url: str) -> None:
    engine = create_engine(make_url(postgresql_url).set(password=SECRET).render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailable, match="InvalidPasswordError") as caught:
        async with engine.begin():
            pass
    await engine.dispose()

    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(engine)


async def test_an_error_does_not_tell_the_values_of_a_statement(database: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO cursors (job_name) VALUES (:value)"), {"value": SECRET})

    assert SECRET not in str(caught.value).split("[SQL", maxsplit=1)[1]


async def test_a_cut_connection_is_a_typed_error_and_leaves_nothing(postgresql_url: str) -> None:
    async with proxied(postgresql_url) as (proxy, url):
        engine = create_engine(url)

        async def write() -> None:
            async with engine.begin() as connection:
                await write_cursor(connection, "job", "", CursorRow(next_offset="1"))
                proxy.cut()
                await write_cursor(connection, "job", "", CursorRow(next_offset="2"))

        with pytest.raises(DatabaseUnavailable, match="connection to the database was lost"):
            await write()

        # The pool notices, and connects anew.
        async with reading(engine) as connection:
            assert await read_cursor(connection, "job") is None
        await engine.dispose()


async def test_connections_cut_while_idle_cost_their_next_user_nothing(postgresql_url: str) -> None:
    async with proxied(postgresql_url) as (proxy, url):
        engine = create_engine(url)
        async with reading(engine) as first, reading(engine) as second:
            await first.scalar(text("SELECT 1"))
            await second.scalar(text("SELECT 1"))

        proxy.cut()

        for _ in range(2):
            async with reading(engine) as connection:
                assert await connection.scalar(text("SELECT 1")) == 1
        await engine.dispose()


async def test_a_server_that_accepts_and_never_answers_is_given_up(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.3)
    async with proxied(postgresql_url) as (proxy, url):
        proxy.hang()
        engine = create_engine(url)
        with pytest.raises(DatabaseUnavailable, match="cannot be reached: TimeoutError"):
            async with asyncio.timeout(5), engine.begin():
                pass
        await engine.dispose()


async def read_and_hang(engine: AsyncEngine, proxy: Proxy, *, give_up_after: float) -> None:
    """Read once, and then once more from a server that no longer answers."""
    async with asyncio.timeout(give_up_after), engine.begin() as connection:
        await read_cursor(connection, "job")
        proxy.hang()
        await read_cursor(connection, "job")


async def test_a_statement_that_the_server_never_answers_is_given_up(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(engine_module, "STATEMENT_SECONDS", 0.3)
    async with proxied(postgresql_url) as (proxy, url):
        engine = create_engine(url)

        with pytest.raises(DatabaseUnavailable, match="was lost: TimeoutError"):
            await read_and_hang(engine, proxy, give_up_after=15)
        await engine.dispose()


async def test_an_impatient_caller_gets_away_from_a_hanging_server(postgresql_url: str) -> None:
    async with proxied(postgresql_url) as (proxy, url):
        engine = create_engine(url)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await read_and_hang(engine, proxy, give_up_after=1)
        await engine.dispose()
        assert time.monotonic() - began < 5


async def test_the_default_database_is_a_file_in_the_data_directory(tmp_path: Path) -> None:
    engine = await engine_from_settings(settings(data_directory=tmp_path / "data"))
    async with engine.begin():
        pass
    await engine.dispose()

    assert (tmp_path / "data" / "vibecheck.db").exists()


async def test_the_configured_address_wins_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.db"
    engine = await engine_from_settings(settings(database_url=SecretStr(f"sqlite+aiosqlite:///{file}")))
    await engine.dispose()

    assert engine.url.database == str(file)


def test_the_module_is_imported_without_prefects_block() -> None:
    code = "import sys; import flows.database.engine; sys.exit('prefect' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, cwd=Path.cwd())
    assert result.returncode == 0, result.stderr
