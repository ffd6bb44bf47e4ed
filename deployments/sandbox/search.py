"""`/v1/news/search`: which articles a query selects, in which order, and one page of them."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from deployments.sandbox.articles import Article, Newsroom
from deployments.sandbox.errors import ApiError
from deployments.sandbox.faults import FaultKind
from deployments.sandbox.timeline import TimeFilter, Timeline

Operator = Literal["AND", "OR"]
Order = Literal["newest_first", "oldest_first", "by_id"]
Seconds = Annotated[int, Field(ge=0)]

RECENT_SECONDS = 48 * 3600
ARCHIVE_SECONDS = 30 * 24 * 3600
RECENT_CREDITS = 1
ARCHIVE_CREDITS = 5


class NewsQuery(BaseModel):
    """The parameters that select articles here. All others are accepted and have no effect."""

    query: str = ""
    n_articles: Annotated[int, Field(ge=1, le=101)] = 10
    offset: int | str = 0
    start_timestamp: Seconds | None = None
    end_timestamp: Seconds | None = None
    time_filter: TimeFilter = "crawl_date"
    hours_back: Annotated[int, Field(ge=0)] = 24
    historical: bool = False
    return_type: Literal["dicts", "string", "both"] = "dicts"
    method: Literal["nl", "kw", "both"] = "kw"
    string_guarantee: list[str] = []
    string_guarantee_op: Operator = "AND"
    reverse_string_guarantee: list[str] = []
    entity_guarantee: list[str] = []
    entity_guarantee_op: Operator = "OR"
    categories: list[str] = []
    languages: list[str] = []
    countries: list[str] = []
    domain_url: list[str] = []
    bad_domain_url: list[str] = []


@dataclass(frozen=True)
class Found:
    """One page of articles. `next_offset` is what to ask with for the next one."""

    articles: Sequence[Article]
    next_offset: int | str
    credits: int


@dataclass(frozen=True)
class Search:
    """Searches the made-up news.

    `page_cap` is the plan's: a page is never longer, whatever is asked. With `offset_tokens`, the next offset is the
    last article's id instead of a number of rows.
    """

    timeline: Timeline
    newsroom: Newsroom
    page_cap: int
    order: Order
    offset_tokens: bool

    def find(self, query: NewsQuery, now: int, fault: FaultKind | None = None) -> Found:
        """Return the page that `query` asks for at `now` (Unix seconds). Raises `ApiError` 400 for an unknown offset.

        `fault` may spoil the page: its beginning, its length or its order.
        """
        found = _ordered(self._matching(query, now), query.time_filter, self.order)
        if fault == "shuffled":
            random.shuffle(found)
        begin = 0 if fault == "offset_ignored" else _position(found, query.offset)
        length = min(query.n_articles, self.page_cap)
        if fault in ("short_page", "empty_page"):
            length = length // 2 if fault == "short_page" else 0
        page = found[begin : begin + length]
        next_offset: int | str = begin + len(page)
        if self.offset_tokens and page:
            next_offset = str(page[-1].stamp.article_id)
        return Found(page, next_offset, ARCHIVE_CREDITS if query.historical else RECENT_CREDITS)

    def _matching(self, query: NewsQuery, now: int) -> list[Article]:
        start = now - query.hours_back * 3600 if query.start_timestamp is None else query.start_timestamp
        end = now if query.end_timestamp is None else query.end_timestamp
        # Older articles exist in the archive only.
        oldest = now - (ARCHIVE_SECONDS if query.historical else RECENT_SECONDS)
        stamps = self.timeline.between(max(start, oldest), end, now=now, time_filter=query.time_filter)
        return [article for stamp in stamps if _matches(article := self.newsroom.article(stamp), query)]


def _position(found: Sequence[Article], offset: int | str) -> int:
    try:
        return max(0, int(offset))
    except ValueError:
        pass
    for position, article in enumerate(found):
        if str(article.stamp.article_id) == offset:
            return position + 1
    raise ApiError(400, detail="Unknown offset")


def _ordered(articles: list[Article], time_filter: TimeFilter, order: Order) -> list[Article]:
    def by_time(article: Article) -> tuple[int, str]:
        return (article.stamp.at(time_filter), str(article.stamp.article_id))

    def by_id(article: Article) -> str:
        return str(article.stamp.article_id)

    if order == "by_id":
        return sorted(articles, key=by_id)
    return sorted(articles, key=by_time, reverse=order == "newest_first")


def _matches(article: Article, query: NewsQuery) -> bool:
    words = query.query.casefold().split()
    is_said = _all_or_any("AND" if query.method == "kw" else "OR")
    return (
        (not words or is_said(word in article.searched for word in words))
        and _guaranteed(
            query.string_guarantee, query.string_guarantee_op, lambda text: text.casefold() in article.searched
        )
        and not any(text.casefold() in article.searched for text in query.reverse_string_guarantee)
        and _guaranteed(query.entity_guarantee, query.entity_guarantee_op, lambda one: _names(article, one))
        and (
            not query.categories
            or "All" in query.categories
            or any(one in query.categories for one in article.categories)
        )
        and (not query.languages or article.outlet.language in query.languages)
        and (not query.countries or article.outlet.country in query.countries)
        and (not query.domain_url or article.outlet.domain in query.domain_url)
        and article.outlet.domain not in query.bad_domain_url
    )


def _guaranteed(values: Sequence[str], operator: Operator, holds: Callable[[str], bool]) -> bool:
    return not values or _all_or_any(operator)(holds(value) for value in values)


def _all_or_any(operator: Operator) -> Callable[[Iterable[bool]], bool]:
    return all if operator == "AND" else any


def _names(article: Article, type_and_value: str) -> bool:
    """Whether the article's entity lists hold `Type:Value`."""
    kind, _, value = type_and_value.partition(":")
    return value.casefold() in (name.casefold() for name in article.entities.get(kind, ()))
