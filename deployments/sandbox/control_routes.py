"""The sandbox's own routes, for tests: faults, what was asked, and the truth about the news."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from deployments.sandbox.faults import Fault
from deployments.sandbox.state import Sandbox
from deployments.sandbox.stories import StoriesQuery
from deployments.sandbox.timeline import TimeFilter


class Window(BaseModel):
    """A window of time in Unix seconds, both ends included."""

    start_timestamp: int
    end_timestamp: int
    time_filter: TimeFilter = "crawl_date"


def control_router(sandbox: Sandbox) -> APIRouter:
    """Return routes under `/_sandbox`. They need no credentials and are neither noted nor limited."""
    router = APIRouter(prefix="/_sandbox")

    @router.get("/faults")
    async def list_faults() -> list[dict[str, object]]:
        """List the faults that are on, each with the number of requests it hit."""
        return sandbox.faults.describe()

    @router.post("/faults", status_code=201)
    async def add_faults(faults: Annotated[list[Fault], Body()]) -> list[dict[str, object]]:
        """Switch on faults; the first one that concerns a request hits it."""
        sandbox.faults.add(faults)
        return sandbox.faults.describe()

    @router.delete("/faults", status_code=204)
    async def clear_faults() -> None:
        """Switch off all faults."""
        sandbox.faults.clear()

    @router.get("/requests")
    async def list_requests() -> list[dict[str, object]]:
        """List the latest requests to the API, oldest first, without credentials."""
        return [asdict(request) for request in sandbox.requests]

    @router.delete("/requests", status_code=204)
    async def forget_requests() -> None:
        """Forget the requests so far."""
        sandbox.requests.clear()

    @router.get("/articles")
    def true_articles(window: Annotated[Window, Query()]) -> list[dict[str, object]]:
        """List every article in the window that is visible now, with the entities that it is truly about."""
        search = sandbox.search
        stamps = search.timeline.between(
            window.start_timestamp, window.end_timestamp, now=sandbox.now(), time_filter=window.time_filter
        )
        articles = [search.newsroom.article(stamp) for stamp in stamps]
        return [
            {
                "article_id": str(article.stamp.article_id),
                "title": article.payload["eng_title"],
                "published_at": article.stamp.published_at,
                "crawled_at": article.stamp.crawled_at,
                "visible_at": article.stamp.visible_at,
                "mentions": article.mentions,
            }
            for article in articles
        ]

    @router.get("/stories")
    def true_stories(query: Annotated[StoriesQuery, Query()]) -> list[dict[str, object]]:
        """List every story that the query selects now, with the entities that it is truly about."""
        now = sandbox.now()
        return [
            {
                "uuid": str(plot.story_id),
                "headline": plot.updates_until(now)[0].headline,
                "updated_ts": plot.refreshed_at(now),
                "mentions": plot.mentions,
            }
            for plot in sandbox.stories.matching(query, now)
        ]

    return router
