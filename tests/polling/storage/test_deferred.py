"""A page that was stepped over waits for a later run, and is not forgotten without a word."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.polling.storage import tables
from flows.polling.storage.deferred import (
    DeferredPage,
    defer_page,
    deferred_pages,
    drop_deferred_page,
    note_deferred_page_failed,
)
from tests.polling.storage.rows import NOON

PAGE = DeferredPage("news", "", NOON, NOON + timedelta(hours=1), 40, 10)


async def defer(database: AsyncEngine, *pages: DeferredPage) -> None:
    for page in pages:
        async with database.begin() as connection:
            await defer_page(connection, page, reason="500")


async def waiting(database: AsyncEngine, *scopes: str) -> Sequence[DeferredPage]:
    async with reading(database) as connection:
        return await deferred_pages(connection, "news", scopes or [""])


async def fail_again(database: AsyncEngine, page: DeferredPage, give_up_after: timedelta) -> bool:
    async with database.begin() as connection:
        return await note_deferred_page_failed(connection, page, reason="still 500", give_up_after=give_up_after)


async def test_a_page_waits_until_it_was_stored(database: AsyncEngine) -> None:
    await defer(database, PAGE, replace(PAGE, job_name="stories"), replace(PAGE, scope="Claude"))
    assert await waiting(database) == [PAGE]

    async with database.begin() as connection:
        await drop_deferred_page(connection, PAGE)
    assert await waiting(database) == []


async def test_the_least_often_tried_pages_come_first_whatever_their_scope(database: AsyncEngine) -> None:
    pages = [replace(PAGE, scope=scope) for scope in ("Claude", "Gemini", "Llama")]
    await defer(database, *pages, replace(PAGE, scope="Grok"))
    assert not await fail_again(database, pages[0], timedelta(hours=1))

    assert await waiting(database, "Claude", "Gemini", "Llama") == [pages[1], pages[2], pages[0]]


async def test_a_page_that_two_runs_step_over_at_once_waits_once(database: AsyncEngine) -> None:
    await asyncio.gather(*(defer(database, PAGE) for _ in range(3)))

    assert await waiting(database) == [PAGE]
    async with reading(database) as connection:
        assert await connection.scalar(select(tables.DeferredPage.attempts)) == 3


@pytest.mark.parametrize(("first", "second"), [(10, 50), (50, 10)])
async def test_a_page_that_is_noted_in_two_sizes_waits_in_the_larger(
    database: AsyncEngine, first: int, second: int
) -> None:
    await defer(database, replace(PAGE, page_size=first), replace(PAGE, page_size=second))

    assert await waiting(database) == [replace(PAGE, page_size=50)]


async def test_a_page_is_given_up_when_it_has_failed_for_too_long(database: AsyncEngine) -> None:
    await defer(database, PAGE)
    assert not await fail_again(database, PAGE, timedelta(minutes=10))
    assert await fail_again(database, PAGE, timedelta(0))

    assert await waiting(database) == []
    async with reading(database) as connection:
        kept = (await connection.execute(select(tables.RejectedRecord.__table__))).one()
    assert (kept.kind, kept.reason) == ("page", "still 500")
    assert json.loads(kept.raw)["page_offset"] == 40


async def test_a_page_that_is_no_longer_waiting_is_not_given_up(database: AsyncEngine) -> None:
    assert not await fail_again(database, PAGE, timedelta(0))
    assert await waiting(database) == []
