"""`/v1/stories`: which stories a query selects, and one page of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from deployments.sandbox.articles import Article, Newsroom
from deployments.sandbox.content_files import Content
from deployments.sandbox.draw import Draw
from deployments.sandbox.story_fields import Wanted, story_payload
from deployments.sandbox.story_plot import HOUR, Plot, Plots, press_sentiment
from deployments.sandbox.timeline import Timeline

DEFAULT_WINDOW_SECONDS = 7 * 24 * HOUR
OLDEST_SECONDS = 30 * 24 * HOUR
# Articles that appeared shortly before a story's first update led to it.
_BEFORE_SECONDS = 6 * HOUR
_SHARE_IN_STORY = 0.4

Seconds = Annotated[int, Field(ge=0)]
SortBy = Literal["published", "coverage", "sentiment", "relevance", "confidence"]


class StoriesQuery(BaseModel):
    """The parameters that have an effect here. All others are accepted and have none."""

    query: str | None = None
    categories: list[str] = []
    uuids: list[UUID] = []
    start_timestamp: Seconds | None = None
    end_timestamp: Seconds | None = None
    sort_by: SortBy = "published"
    sort_type: Literal["asc", "desc"] = "desc"
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    method: Literal["nl", "kw", "both"] = "kw"
    expand_updates: bool = False
    max_updates: Annotated[int, Field(ge=0)] = 2
    max_articles: Annotated[int, Field(ge=0)] = 5
    reddit: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class FoundStories:
    """One page of stories as JSON. `next_offset` is what to ask with for the next one."""

    stories: Sequence[dict[str, object]]
    next_offset: int


class StoryDesk:
    """Selects stories and writes them as they stand at a moment (Unix seconds)."""

    def __init__(self, content: Content, timeline: Timeline, newsroom: Newsroom, origin: int = 0) -> None:
        self._content = content
        self._timeline = timeline
        self._newsroom = newsroom
        self._plots = Plots(content, origin)
        self._articles_about = lru_cache(maxsize=500)(self._find_articles)

    def find(self, query: StoriesQuery, now: int) -> FoundStories:
        """Return the page that `query` asks for at `now`."""
        matching = sorted(self.matching(query, now), key=lambda plot: str(plot.story_id))
        matching.sort(key=lambda plot: self._rank(plot, query.sort_by, now), reverse=query.sort_type == "desc")
        page = matching[query.offset : query.offset + query.limit]
        wanted = Wanted(query.expand_updates, query.max_updates, query.max_articles, query.reddit)
        stories = [
            story_payload(self._content, plot, self._articles_about(plot, plot.refreshed_at(now)), now, wanted)
            for plot in page
        ]
        return FoundStories(stories, query.offset + len(page))

    def matching(self, query: StoriesQuery, now: int) -> list[Plot]:
        """Return all stories that `query` selects, last changed within its window, in no particular order."""
        window = OLDEST_SECONDS if query.uuids else DEFAULT_WINDOW_SECONDS
        start = now - window if query.start_timestamp is None else query.start_timestamp
        end = now if query.end_timestamp is None else min(query.end_timestamp, now)
        start = max(start, now - OLDEST_SECONDS)
        return [
            plot
            for plot in self._plots.begun_between(start, end)
            if start <= plot.refreshed_at(now) <= end and _matches(plot, query, now)
        ]

    def _rank(self, plot: Plot, sort_by: SortBy, now: int) -> float:
        if sort_by == "coverage":
            return len(self._articles_about(plot, plot.refreshed_at(now)))
        if sort_by == "sentiment":
            return press_sentiment(plot, now).rolling[-1]
        return plot.refreshed_at(now)

    def _find_articles(self, plot: Plot, refreshed_at: int) -> list[Article]:
        """The articles about a story that had been crawled when it was refreshed, newest first."""
        stamps = self._timeline.between(plot.starts_at - _BEFORE_SECONDS, refreshed_at, now=refreshed_at)
        articles = [article for stamp in stamps if _belongs(article := self._newsroom.article(stamp), plot)]
        return sorted(
            articles, key=lambda article: (article.stamp.crawled_at, str(article.stamp.article_id)), reverse=True
        )


def _belongs(article: Article, plot: Plot) -> bool:
    if plot.arc.is_homonym:
        return not article.mentions and plot.subject.name.casefold() in article.searched
    is_about = plot.subject.name in article.mentions
    return is_about and Draw("belongs", plot.story_id, article.stamp.article_id).chance(_SHARE_IN_STORY)


def _matches(plot: Plot, query: StoriesQuery, now: int) -> bool:
    if query.uuids and plot.story_id not in query.uuids:
        return False
    if query.categories and not set(query.categories) & set(plot.arc.categories):
        return False
    words = (query.query or "").casefold().split()
    if not words:
        return True
    said = " ".join(f"{update.headline} {update.story}" for update in plot.updates_until(now)).casefold()
    found = [word in said for word in words]
    return all(found) if query.method == "kw" else any(found)
