"""A poll whose database is in trouble stores all of a page or nothing, and says so; the next one makes up for it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database import engine as engine_module
from flows.database.engine import DatabaseUnavailable, create_engine, reading
from flows.entities import load_tracked
from flows.polling.storage.cursors import read_cursor
from flows.polling.storage.entities import seed_entities
from flows.polling.storage.tables import Article
from tests.database.postgresql_server import OwnServer
from tests.database.troubles import POSTGRESQL, SQLITE, Trouble, no_connection_is_left
from tests.polling.simulated import BEGIN, Index, Poller, made_up


@pytest.mark.parametrize(("trouble", "says"), POSTGRESQL.items())
async def test_a_poll_in_postgresqls_trouble_is_made_up_for(
    trouble: Trouble, says: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poll_before_in_and_after(trouble, says, postgresql_url, monkeypatch)


@pytest.mark.parametrize(("trouble", "says"), SQLITE.items())
async def test_a_poll_in_sqlites_trouble_is_made_up_for(
    trouble: Trouble, says: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poll_before_in_and_after(trouble, says, sqlite_url, monkeypatch)


async def test_a_poll_that_gets_no_connection_is_made_up_for(
    own_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poll_before_in_and_after(no_connection_is_left, "too many clients already", own_postgresql_url, monkeypatch)


@pytest.mark.leaves("child process")  # what is started again is the session's server
async def test_a_poll_in_postgresqls_restart_is_made_up_for(own_postgresql: OwnServer, own_postgresql_url: str) -> None:
    async with seeded(own_postgresql_url) as engine:
        poller = Poller(engine, Index(made_up(hours=1, a_day=60)))
        await poller.poll()
        before = await stored(engine)
        poller.index.now = BEGIN.replace(minute=30)

        def restart(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
            if statement.startswith("INSERT INTO articles"):
                event.remove(engine.sync_engine, "after_cursor_execute", restart)
                own_postgresql.stop_at_once()
                own_postgresql.start()

        event.listen(engine.sync_engine, "after_cursor_execute", restart)
        with pytest.raises(DatabaseUnavailable, match="connection to the database was lost"):
            await poller.poll()
        assert await stored(engine) == before
        await poller.poll_for(1)
        assert poller.errors == []
        assert await poller.missing(crawled_before=poller.index.now) == []


async def test_a_full_disk_under_sqlite_is_made_up_for(sqlite_url: str) -> None:
    async with seeded(sqlite_url) as engine:
        poller = Poller(engine, Index(made_up(hours=1, a_day=60)))
        await engine.dispose()
        event.listen(engine.sync_engine, "connect", _let_no_page_be_added)
        with pytest.raises(DatabaseUnavailable, match="database or disk is full"):
            await poller.poll()
        event.remove(engine.sync_engine, "connect", _let_no_page_be_added)
        await engine.dispose()
        await poller.poll_for(1)
        assert await poller.missing(crawled_before=poller.index.now) == []


async def poll_before_in_and_after(trouble: Trouble, says: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll three times: a poll that fails stores neither data nor a place to go on from; the next one stores all."""
    async with seeded(url) as engine:
        poller = Poller(engine, Index(made_up(hours=1, a_day=60)))
        await poller.poll()
        before = await stored(engine)
        await engine.dispose()
        poller.index.now = BEGIN.replace(minute=30)
        with monkeypatch.context() as patience:
            # Sooner than in life, and later than whoever waits for nothing but a loaded machine.
            patience.setattr(engine_module, "CONNECT_SECONDS", 1.0)
            patience.setattr(engine_module, "STATEMENT_SECONDS", 1.0)
            impatient = create_engine(url)
        async with trouble(url):
            with pytest.raises(DatabaseUnavailable, match=says):
                await replace(poller, engine=impatient).poll()
            await impatient.dispose()
        assert await stored(engine) == before
        await poller.poll_for(1)
        assert poller.errors == []
        assert await poller.missing(crawled_before=poller.index.now) == []


def _let_no_page_be_added(connection: Any, _record: object) -> None:
    connection.cursor().execute("PRAGMA max_page_count = 1")


async def stored(engine: AsyncEngine) -> tuple[int | None, object]:
    """How many articles there are, and where the next poll goes on."""
    async with reading(engine) as connection:
        articles = await connection.scalar(select(func.count(Article.article_id)))
        return articles, await read_cursor(connection, "poll_news")


@asynccontextmanager
async def seeded(url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(url)
    try:
        async with engine.begin() as connection:
            await seed_entities(connection, [(entity.name, entity.category) for entity in load_tracked()])
        yield engine
    finally:
        await engine.dispose()
