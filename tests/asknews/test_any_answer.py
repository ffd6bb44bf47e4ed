"""Whatever the endpoints answer, it becomes a page whose counts add up or an error of the tree."""

import gzip
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.asknews import AskNewsClient, AskNewsError, Page
from flows.settings import Settings
from tests.asknews.fakes import article, client_of, news, story
from tests.asknews.test_any_json import ARTICLES, JSON, STORIES

MOST_BYTES: int = Settings.model_fields["max_response_bytes"].default
NOW = datetime(2026, 9, 7, 12, tzinfo=UTC)


async def search_news(client: AskNewsClient) -> Page[Any]:
    return await client.search_news(names=["Claude"], start=NOW - timedelta(hours=1), end=NOW, page_size=10)


async def search_stories(client: AskNewsClient) -> Page[Any]:
    return await client.list_stories(
        query="Claude", start=NOW - timedelta(hours=1), end=NOW, page_size=10, reddit_threads=1
    )


Search = Callable[[AskNewsClient], Awaitable[Page[Any]]]
SEARCHES: list[Search] = [search_news, search_stories]
FIELDS = {
    "as_dicts": JSON | st.lists(JSON | ARTICLES, max_size=3),
    "stories": JSON | st.lists(JSON | STORIES, max_size=3),
}
PAGES = st.fixed_dictionaries({}, optional={**FIELDS, "offset": JSON, "usage": JSON, "has_more": JSON})
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-ratelimit-limit", "content-type", "location"]),
    st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=20),
)


async def ask(search: Search, response: httpx.Response, *, most_bytes: int = 1_000_000) -> None:
    async with client_of(lambda _request: response, max_response_bytes=most_bytes) as client:
        try:
            page = await search(client)
        except AskNewsError as error:
            assert len(str(error)) < 2_000  # noqa: PT017  # either outcome is right
        else:
            assert page.fetched == len(page.records) + len(page.rejects)


@pytest.mark.parametrize("search", SEARCHES)
@settings(max_examples=100)
@given(
    body=PAGES | JSON,
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 409, 429, 500, 503]),
    headers=HEADERS,
)
async def test_any_answer_is_a_page_or_an_error_of_the_tree(
    search: Search, body: object, status: int, headers: dict[str, str]
) -> None:
    await ask(search, httpx.Response(status, content=json.dumps(body).encode(), headers=headers))


@pytest.mark.parametrize("search", SEARCHES)
@settings(max_examples=100)
@given(cut=st.integers(0, 2_000), noise=st.binary(max_size=20), packed=st.booleans())
async def test_an_answer_that_is_cut_or_spoilt_is_one_too(
    search: Search, cut: int, noise: bytes, *, packed: bool
) -> None:
    whole = json.dumps(news(article()) if search is search_news else {"stories": [story()]}).encode()
    content = gzip.compress(whole) if packed else whole
    headers = {"content-encoding": "gzip"} if packed else {}
    at = cut % len(content)
    await ask(search, stream_of(content[:at] + noise, headers))
    await ask(search, stream_of(content[:at] + noise + content[at + len(noise) :], headers))


def stream_of(content: bytes, headers: dict[str, str]) -> httpx.Response:
    """An answer that is unpacked by its reader only."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    return httpx.Response(200, content=chunks(), headers=headers)


NESTED = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    "text",
    [
        NESTED,
        '{"as_dicts": ' + NESTED + ', "stories": ' + NESTED + "}",
        '{"as_dicts": [' + "{}," * 99_999 + '{}], "stories": [' + "{}," * 99_999 + "{}]}",
        '{"as_dicts": [{"title": "' + "x" * 10_000_000 + '"}], "stories": [{"topic": "' + "x" * 10_000_000 + '"}]}',
        '{"as_dicts": [' + "9" * 5_000 + '], "stories": [' + "9" * 5_000 + "]}",
    ],
    ids=["nested", "nested items", "100,000 items", "10 MB field", "number of 5,000 digits"],
)
async def test_an_answer_without_measure_is_one_too(search: Search, text: str) -> None:
    # What production allows, so that each of them is parsed.
    await ask(search, httpx.Response(200, content=text.encode()), most_bytes=MOST_BYTES)
