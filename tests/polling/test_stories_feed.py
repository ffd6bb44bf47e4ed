"""What a poll of stories makes of a page: whom each story mentions, and when it was new."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.entities import EntityMatcher, load_tracked
from flows.polling.budget import CreditBudget
from flows.polling.feeds import Stored
from flows.polling.statistics import Statistics
from flows.polling.stories_feed import StoriesFeed
from flows.polling.windows import Window
from tests.asknews.fakes import client_of, story, update
from tests.polling.runs import NOW
from tests.polling.test_source import seeded


async def stored(database: AsyncEngine, *stories: Any) -> Stored:
    budget = CreditBudget(await seeded(database), 1_000, 1, 0.9, Statistics(), "poll_stories")
    async with client_of(lambda _request: httpx.Response(200, json={"stories": stories, "offset": None})) as client:
        feed = StoriesFeed(client, budget, "Claude", EntityMatcher(load_tracked()), 10, 0)
        page = await feed.fetch(Window(NOW - timedelta(hours=1), NOW), 0)
        async with database.begin() as connection:
            return await feed.store(connection, page)


@pytest.mark.parametrize(
    ("entities", "people", "mentioned"),
    [
        ({}, [], []),
        ({"Product": ["Claude"]}, [], ["Claude"]),
        ({"Technology": ["Claude"]}, [], ["Claude"]),
        ({"Location": ["Claude"]}, [], []),
        ({"Product": ["Claude"], "Person": ["Claude Dupont"]}, [], []),
        ({"Product": ["Claude"]}, ["Claude Dupont"], []),
    ],
)
async def test_what_asknews_recognised_in_an_update_counts(
    database: AsyncEngine, entities: dict[str, list[str]], people: list[str], mentioned: list[str]
) -> None:
    told = update(headline="Claude Dupont is back" if people or "Person" in entities else "Claude is back")
    result = await stored(
        database, story(updates=[told | {"story": "", "entities": entities}], topics=[], keywords=[], people=people)
    )
    assert [list(names) for names in result.mentions] == [mentioned]


async def test_a_new_story_is_told_with_its_time_a_known_one_is_not(database: AsyncEngine) -> None:
    assert len((await stored(database, story())).new_times) == 1
    assert not (await stored(database, story())).new_times
