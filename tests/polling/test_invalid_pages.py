"""Pages of which no record is what the contract says, from the client's answer to the cursor."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import Article, AskNewsClient, Page, UnexpectedResponse
from flows.database.upserts import UpsertCounts
from flows.polling.feeds import Stored
from flows.polling.pages import poll_scopes
from flows.polling.windows import Window
from tests.asknews.fakes import article, client_of, news
from tests.polling.runs import NOW, REACH, cursor_of, polling_run, row_of

PAGE_SIZE = 10
RENAMED = article(pub_date=..., published=1)


class ClientFeed:
    """Pages as a real client reads them; what is stored of the good records does not matter here."""

    name = "news"
    endpoint = "news"
    measures_lateness = True
    page_size = PAGE_SIZE

    def __init__(self, client: AskNewsClient) -> None:
        self.client = client
        # The articles of these tests are all the same: each counts as one of its own.
        self.keys = count()

    def key(self, record: Article) -> object:  # noqa: ARG002  # a feed's
        return next(self.keys)

    def time(self, record: Article) -> datetime | None:
        return record.crawled_at

    async def fetch(self, window: Window, offset: int | str) -> Page[Article]:
        return await self.client.search_news(
            names=["Claude"], start=window.start, end=window.end, offset=offset, page_size=PAGE_SIZE
        )

    async def store(self, connection: AsyncConnection, page: Page[Any]) -> Stored:  # noqa: ARG002  # a feed's
        return Stored(UpsertCounts(inserted=len(page.records)), [])


def serving(*articles: Any) -> AskNewsClient:
    """A client of an AskNews that has these articles, whatever the window."""

    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json=news(*articles[offset : offset + PAGE_SIZE], offset=None))

    return client_of(answer)


async def test_a_renamed_field_fails_the_run_and_leaves_the_watermark(database: AsyncEngine) -> None:
    run = polling_run(database)
    async with serving(*[RENAMED] * 25) as client:
        with pytest.raises(UnexpectedResponse, match="none of the 10 records is valid: pub_date Field required"):
            await poll_scopes(run, {"": ClientFeed(client)}, REACH)
    assert await row_of(run) is None, "the run is left to fail"
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start) == (None, None)


async def test_a_poison_record_in_a_quiet_hour_does_not_stop_the_poll(database: AsyncEngine) -> None:
    run = polling_run(database)
    async with serving(*[RENAMED] * 4) as client:
        await poll_scopes(run, {"": ClientFeed(client)}, REACH)
    row = await row_of(run)
    assert row is not None
    assert (row.status, row.details["rejected"]) == ("partial_failure", 4)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert cursor.watermark == run.now


@pytest.mark.parametrize("articles", [10, 14])
async def test_an_invalid_page_proves_no_end(database: AsyncEngine, articles: int) -> None:
    run = polling_run(database)
    async with serving(*[RENAMED] * articles) as client:
        with pytest.raises(UnexpectedResponse):
            await poll_scopes(run, {"": ClientFeed(client)}, REACH)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert (cursor.watermark, cursor.window_start) == (None, None)


async def test_a_page_without_a_valid_record_holds_the_poll_up_briefly(database: AsyncEngine) -> None:
    articles = [*[article()] * 20, *[RENAMED] * 7]
    for hours in range(2):
        run = polling_run(database, now=NOW + timedelta(hours=hours))
        async with serving(*articles) as client:
            await poll_scopes(run, {"": ClientFeed(client)}, REACH)
        assert run.status() == "partial_failure"
        cursor = await cursor_of(database)
        assert cursor is not None
        assert (cursor.watermark, cursor.window_start) == (None, None), "the next run begins anew"

    run = polling_run(database, now=NOW + timedelta(hours=2))
    async with serving(*articles, *[article()] * 8) as client:
        await poll_scopes(run, {"": ClientFeed(client)}, REACH)
    cursor = await cursor_of(database)
    assert cursor is not None
    assert cursor.watermark == run.now
    assert (run.statistics.inserted, run.statistics.rejected) == (28, 7)
