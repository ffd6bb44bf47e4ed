"""What is asked of AskNews: the parameters of each endpoint. Windows are aware; ValueError says what makes no query."""

import math
from collections.abc import Sequence
from datetime import datetime

Parameters = list[tuple[str, str | int | float | bool | None]]

MAX_UPDATES = 5


def news_query(
    names: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    page_size: int,
    offset: int | str = 0,
    archive: bool = False,
) -> Parameters:
    """Return the query for articles with at least one of `names`. Raises ValueError where there is none."""
    if not names:
        raise ValueError("names must not be empty: without one, the search would return all of the news")
    query: Parameters = [
        ("query", ""),
        ("n_articles", str(page_size)),
        ("offset", str(offset)),
        *_window(start, end),
        ("time_filter", "crawl_date"),
        ("return_type", "dicts"),
        ("method", "kw"),
        *(("string_guarantee", name) for name in names),
        ("string_guarantee_op", "OR"),
    ]
    if archive:
        query.append(("historical", "true"))
    return query


def stories_query(
    query: str, start: datetime, end: datetime, *, page_size: int, offset: int | str, reddit_threads: int
) -> Parameters:
    """Return the query for stories about `query`, the latest first, with up to `reddit_threads` threads each."""
    return [
        ("query", query),
        *_window(start, end),
        ("sort_by", "published"),
        ("sort_type", "desc"),
        ("offset", str(offset)),
        ("limit", str(page_size)),
        ("expand_updates", "true"),
        ("max_updates", str(MAX_UPDATES)),
        ("method", "kw"),
        ("reddit", str(reddit_threads)),
    ]


def _window(start: datetime, end: datetime) -> Parameters:
    """The window as Unix seconds: wider by a fraction rather than narrower, so that no article falls between two."""
    if start.utcoffset() is None or end.utcoffset() is None:
        raise ValueError("start and end must be aware")
    if start > end:
        raise ValueError("start must not be after end")
    return [
        ("start_timestamp", str(math.floor(start.timestamp()))),
        ("end_timestamp", str(math.ceil(end.timestamp()))),
    ]
