"""What the source may do, and what the polls make of it: the HTTP API is all that these tests share with the poller."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import reading
from flows.entities import load_tracked
from flows.polling import positions
from flows.polling.overlap import settles_after
from flows.polling.positions import PositionMoved, read_position, write_position
from flows.polling.storage.entities import seed_entities
from flows.polling.storage.lateness import read_late
from flows.polling.windows import Position
from tests.polling.simulated import LAGS, Index, Poller, made_up

ODDITIES: Mapping[str, Mapping[str, Any]] = {
    "pages of 12": {"cap": 12},
    "pages of 8": {"cap": 8},
    "pages of 5": {"cap": 5},
    "oldest first": {"order": "oldest"},
    "another order at each request": {"order": "random"},
    "offset ignored": {"ignores_offset": True},
    "pages cut short": {"short_share": 0.05},
}


async def seeded(database: AsyncEngine) -> AsyncEngine:
    async with database.begin() as connection:
        await seed_entities(connection, [(entity.name, entity.category) for entity in load_tracked()])
    return database


@pytest.mark.parametrize("oddity", ODDITIES)
async def test_whatever_pages_are_like_all_is_stored(sqlite_database: AsyncEngine, oddity: str) -> None:
    poller = Poller(await seeded(sqlite_database), Index(made_up(hours=8, a_day=150), **ODDITIES[oddity]))
    await poller.poll_for(8)
    assert not await poller.missing(crawled_before=poller.index.now - timedelta(hours=1))


@pytest.mark.parametrize(("lag", "most_minutes"), [("10 % by 10 to 40 min", 60), ("all by 0 to 90 min", 150)])
async def test_what_is_indexed_late_is_found(sqlite_database: AsyncEngine, lag: str, most_minutes: int) -> None:
    poller = Poller(await seeded(sqlite_database), Index(made_up(hours=17, a_day=150, lag=LAGS[lag])))
    await poller.poll_for(17)
    assert not await poller.missing(crawled_before=poller.index.now - timedelta(hours=11))
    assert sum(run.late for run in poller.runs)
    async with reading(sqlite_database) as connection:
        measured = await read_late(connection, poller.index.now)
    assert settles_after(measured) <= timedelta(minutes=most_minutes), "more than that only costs credits"


async def test_what_is_known_of_a_page_holds_for_its_plan_alone(database: AsyncEngine) -> None:
    index = Index(made_up(hours=4, a_day=450), cap=25, rate_limit=10)
    poller = Poller(await seeded(database), index)
    await poller.poll_for(2)
    index.cap, index.rate_limit = 4, 5
    await poller.poll_for(2)
    assert not await poller.missing(crawled_before=index.now - timedelta(minutes=30))


async def test_a_clock_that_is_ahead_of_asknews_loses_nothing(database: AsyncEngine) -> None:
    poller = Poller(await seeded(database), Index(made_up(hours=8, a_day=150)), clock_ahead=timedelta(minutes=20))
    await poller.poll_for(8)
    assert not await poller.missing(crawled_before=poller.index.now - timedelta(hours=1))


async def test_a_clock_that_is_set_back_again_stops_no_poll(database: AsyncEngine) -> None:
    poller = Poller(await seeded(database), Index(made_up(hours=2, a_day=450)), clock_ahead=timedelta(hours=8))
    await poller.poll_for(1)
    poller.clock_ahead, set_back_at = timedelta(0), poller.index.now
    await poller.poll_for(1)
    missing = await poller.missing(crawled_before=poller.index.now - timedelta(minutes=30))
    assert not [item for item in missing if item.crawled_at >= set_back_at]


async def test_a_clock_that_was_days_ahead_loses_nothing(
    sqlite_database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag = LAGS["10 % by 10 to 40 min"]
    poller = Poller(await seeded(sqlite_database), Index(made_up(hours=24, a_day=150, lag=lag)))

    async def virtual_now(_connection: AsyncConnection) -> datetime:
        return poller.index.now + poller.clock_ahead

    monkeypatch.setattr(positions, "database_now", virtual_now)
    await poller.poll_for(2)
    poller.clock_ahead = timedelta(days=3)
    await poller.poll_for(0.5)
    poller.clock_ahead = timedelta(0)
    await poller.poll_for(20)
    assert not await poller.missing(crawled_before=poller.index.now - timedelta(hours=11))


async def test_pages_that_repeat_end_the_poll_and_cost_little(database: AsyncEngine) -> None:
    index = Index(made_up(hours=2, a_day=450), ignores_offset=True, ignores_window=True)
    poller = Poller(await seeded(database), index)
    await poller.poll_for(1)
    assert all("repeats a page" in run.failures[0] for run in poller.runs)
    assert max(run.requests for run in poller.runs) <= 3


async def test_a_run_that_comes_back_does_not_set_the_position_back(database: AsyncEngine) -> None:
    index = Index([])
    async with reading(database) as connection:
        _, known = await read_position(connection, "poll_news", "")
    async with database.begin() as connection:
        await write_position(connection, "poll_news", "", Position(index.now), known=known)
    with pytest.raises(PositionMoved):
        async with database.begin() as connection:
            await write_position(connection, "poll_news", "", Position(index.now - timedelta(hours=1)), known=known)
    async with reading(database) as connection:
        position, _ = await read_position(connection, "poll_news", "")
    assert position.watermark == index.now
