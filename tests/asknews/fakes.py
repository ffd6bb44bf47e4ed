"""Payloads as AskNews sends them, clients with a fake network, and a server that speaks as badly as a test wants."""

import asyncio
import base64
import json
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr

from flows.asknews import ApiKey, Article, AskNewsClient, AskNewsError, Authentication, Page

SENTINEL_KEY = "ank_SENTINEL-9f31c7"
SECRET = "SENTINEL-secret-51b2"
BASIC = base64.b64encode(f"client:{SECRET}".encode()).decode()
ARTICLE_ID = "0b5a1f6e-2f3b-4a53-9f0c-5f5b1c0f8a11"
STORY_ID = "7d1c2b90-6a55-4d0e-8a7e-3c9f2ab4d001"
UPDATE_ID = "aa10f3c4-9d0f-4b68-bb54-f7d3c1b2e5f7"
HOUR = 3_600
STORY_TIME = 1_788_800_000
NEWS_TIME = datetime(2026, 9, 7, 22, 0, tzinfo=UTC)

Handler = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def article(**changes: Any) -> dict[str, Any]:
    """An article as AskNews sends it, with `changes`; a change to `...` leaves the field out."""
    return _changed(
        {
            "article_id": ARTICLE_ID,
            "article_url": "https://news.example/ai/claude",
            "title": "Ein neues Modell",
            "eng_title": "A new model",
            "summary": "Claude gained a feature.",
            "key_points": ["It is faster."],
            "pub_date": "2026-09-07T22:02:58Z",
            "crawl_date": "2026-09-07T23:01:00+00:00",
            "sentiment": 1,
            "entities": {"Product": ["Claude"], "Organization": ["Anthropic"], "Person": []},
            "classification": ["Technology"],
            "keywords": ["ai", "models"],
            "language": "de",
            "country": "DE",
            "source_id": "Beispiel",
            "domain_url": "news.example",
            "page_rank": 4321,
            "image_url": "https://news.example/claude.png",
            "provocative": "low",
            "reporting_voice": "Objective",
            "bias": "None",
            "content_type": "article",
            "authors": [{"name": "A. Writer", "email": "writer@news.example"}],
            "centroid_distance": 0.1,
            "as_string_key": "[1]",
        },
        changes,
    )


def thread(**changes: Any) -> dict[str, Any]:
    """A Reddit thread as AskNews sends it, with `changes`."""
    return _changed(
        {
            "id": "5d0f6f0e-9d3c-4a0d-8d8f-0c5b1f4b7a90",
            "url": "https://www.reddit.com/r/LocalLLaMA/comments/1",
            "subreddit_name": "LocalLLaMA",
            "date": "2026-09-07T20:00:00Z",
            "upvotes": 12,
            "comments_count": 3,
            "sentiment": 0,
            "author": "someone",
            "body": "what somebody wrote",
        },
        changes,
    )


def update(**changes: Any) -> dict[str, Any]:
    """A story's update as AskNews sends it, with `changes`."""
    return _changed(
        {
            "uuid": UPDATE_ID,
            "story_uuid": STORY_ID,
            "story_update_ts": STORY_TIME,
            "headline": "Claude gains a feature",
            "story": "What is known so far.",
            "article_ids": [ARTICLE_ID],
            "reddit_threads": [thread()],
        },
        changes,
    )


def story(**changes: Any) -> dict[str, Any]:
    """A story as AskNews sends it, with `changes`."""
    return _changed(
        {
            "uuid": STORY_ID,
            "topic": "auto_generated",
            "topics": ["Claude"],
            "categories": ["Technology"],
            "keywords": ["ai"],
            "people": [],
            "countries": {"US": 3},
            "languages": {"en": 3},
            "sources": {"Example": 3},
            "n_articles": [2, 1],
            "n_updates": 2,
            "updated_ts": STORY_TIME,
            "updates": [update()],
            "sentiment": [1, 0],
            "sentiment_timestamps": [STORY_TIME, STORY_TIME - HOUR],
            "rolling_sentiment": [0.5, 0.0],
            "reddit_sentiment": [-0.25],
            "reddit_sentiment_timestamps": [STORY_TIME],
        },
        changes,
    )


def news(*articles: Any, **changes: Any) -> dict[str, Any]:
    """A news response with these articles."""
    return _changed(
        {"as_dicts": list(articles), "as_string": None, "offset": len(articles), "usage": {"credits": 1}}, changes
    )


def _changed(payload: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (payload | changes).items() if value is not ...}


def client_of(
    handler: Handler | None = None,
    *,
    base_url: str = "https://asknews.example",
    authentication: Authentication | None = None,
    read_timeout_seconds: float = 5.0,
    max_response_bytes: int = 1_000_000,
    requests_per_second: float = 10_000.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AskNewsClient:
    """A client whose requests `handler` answers; without one, they go to `base_url` over the network."""
    return AskNewsClient(
        base_url=base_url,
        authentication=authentication or ApiKey(SecretStr(SENTINEL_KEY)),
        read_timeout_seconds=read_timeout_seconds,
        max_response_bytes=max_response_bytes,
        requests_per_second=requests_per_second,
        transport=httpx.MockTransport(handler) if handler is not None else None,
        clock=clock,
        sleep=sleep,
    )


async def ask(client: AskNewsClient) -> Page[Article]:
    """One request, for a test to which it does not matter what is asked."""
    return await client.search_news(names=["Claude"], start=NEWS_TIME, end=NEWS_TIME, page_size=10)


async def failure_of(client: AskNewsClient, *, is_echoed: bool = False) -> AskNewsError:
    """The error that one request ends with; it must be one of the tree's. `is_echoed`: the answer repeats a secret."""
    async with client:
        try:
            await ask(client)
        except AskNewsError as error:
            assert_tells_no_secret(error, is_echoed=is_echoed)
            return error
    raise AssertionError("the request succeeded")


def assert_tells_no_secret(error: BaseException, *secrets: str, is_echoed: bool = False) -> None:
    """Neither the error, nor what it was raised from, nor its traceback shows a secret.

    The traceback comes with local variables, unless the answer itself repeats a secret: then it is among them.
    """
    told: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None:
            continue
        assert not isinstance(current, httpx.HTTPError), "an httpx error holds the request and its headers"
        told += [str(current), repr(current), repr(vars(current))]
        pending += [current.__cause__, current.__context__]
    told += traceback.TracebackException.from_exception(error, capture_locals=not is_echoed).format()
    for secret in (SENTINEL_KEY, *secrets):
        assert secret not in "".join(told)


Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(respond: Respond) -> AsyncGenerator[str]:
    """A server on the loopback that reads one request's head and then does what `respond` does; yields its address.

    A `respond` that is still at work at the end is cancelled.
    """
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await reader.readuntil(b"\r\n\r\n")
                await respond(reader, writer)
                await writer.drain()
            finally:
                writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


def sends(*parts: bytes) -> Respond:
    """Send these bytes and close the connection."""

    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)

    return respond


def http_response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP response in bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def as_json(value: object) -> bytes:
    """`value` as a JSON body."""
    return json.dumps(value).encode()
