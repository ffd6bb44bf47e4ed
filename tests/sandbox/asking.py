"""A client that asks a sandbox in this process, without a network."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ParamSpec

import httpx
from fastapi import FastAPI

from deployments.sandbox import create_app

KEY = "ank_test"
TRACKED = ["GPT-4o", "Claude", "Gemini", "Llama", "Mistral", "Cursor", "Lovable", "v0", "GitHub Copilot", "Replit"]

Options = ParamSpec("Options")


def _asked(make_app: Callable[Options, FastAPI]) -> Callable[Options, AbstractAsyncContextManager[httpx.AsyncClient]]:
    @asynccontextmanager
    async def client(*args: Options.args, **kwargs: Options.kwargs) -> AsyncGenerator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(make_app(*args, **kwargs))
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers) as one:
            yield one

    return client


asking = _asked(create_app)


async def answer(client: httpx.AsyncClient, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """The JSON that `path` answers with status 200."""
    response = await client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def all_articles(client: httpx.AsyncClient, *, page_size: int = 10, **parameters: Any) -> list[dict[str, Any]]:
    """The articles of all pages, asked for until one comes back short."""
    articles: list[dict[str, Any]] = []
    offset: int | str = 0
    while True:
        page = await answer(client, "/v1/news/search", {**parameters, "n_articles": page_size, "offset": offset})
        articles += page["as_dicts"]
        if len(page["as_dicts"]) < page_size:
            return articles
        offset = page["offset"]
