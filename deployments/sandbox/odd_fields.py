"""Good items whose side fields are odd: each can still be stored, without what is odd."""

import html
from collections.abc import Callable, Mapping
from typing import Any, cast

Item = Mapping[str, object]
Odd = Callable[[Item], Item]

_LARGEST_INTEGER = 2**31 - 1
_LONG_ADDRESS_CHARACTERS = 3_000


def _first_update(story: Item, **changes: object) -> Item:
    updates = cast("list[dict[str, object]]", story["updates"])
    return {
        **story,
        "updates": [{**update, **changes} if not number else update for number, update in enumerate(updates)],
    }


def _thread_addresses(story: Item, address: Callable[[str], str]) -> Item:
    def changed(update: dict[str, Any]) -> dict[str, Any]:
        threads = [{**thread, "url": address(thread["url"])} for thread in update["reddit_threads"]]
        return {**update, "reddit_threads": threads}

    return {**story, "updates": [changed(update) for update in cast("list[dict[str, Any]]", story["updates"])]}


def _list(item: Item, field: str) -> list[object]:
    return cast("list[object]", item[field])


# What is done to the first item, the second, and so on; then again from the start.
ODD_ARTICLES: tuple[Odd, ...] = (
    lambda item: {**item, "page_rank": _LARGEST_INTEGER + 1},
    lambda item: {**item, "page_rank": "12"},
    lambda item: {**item, "crawl_date": ""},
    lambda item: {**item, "keywords": [*_list(item, "keywords"), None]},
    lambda item: {**item, "entities": {**cast("Item", item["entities"]), "Person": {"0": "somebody"}}},
    lambda item: {**item, "title": ""},
    lambda item: {**item, "article_url": "/relative"},
    lambda item: {**item, "image_url": 7, "country": ["US"], "bias": {}},
    lambda item: {**item, "sentiment": None},
)
ODD_STORIES: tuple[Odd, ...] = (
    lambda item: {**item, "rolling_sentiment": []},
    lambda item: {**item, "rolling_sentiment": [*_list(item, "rolling_sentiment"), 0.5]},
    lambda item: {**item, "topic": "auto_generated", "updates": []},
    lambda item: {**item, "sentiment": [None, *_list(item, "sentiment")[1:]]},
    lambda item: {**item, "countries": {"US": None}},
    lambda item: _first_update(item, article_ids=["no-uuid"], headline=7),
    lambda item: _first_update(item, reddit_threads=[{"id": None}]),
    lambda item: {**item, "n_articles": ["2"], "keywords": {}},
)


def with_long_address(article: Item) -> Item:
    """Return `article` at an address with a space in it that is longer than any index of a database takes."""
    return {**article, "article_url": f"{article['article_url']}/a b/{'x' * _LONG_ADDRESS_CHARACTERS}"}


def with_paths_at_reddit(story: Item) -> Item:
    """Return `story` with threads whose address is only a path, as the official SDK accepts it."""
    return _thread_addresses(story, lambda address: "/" + address.split("/", 3)[3])


def without_rolling(story: Item) -> Item:
    """Return `story` without its rolling means."""
    return {name: value for name, value in story.items() if name != "rolling_sentiment"}


def as_html(item: Item) -> Item:
    """Return `item` with its texts as they stand in HTML, and another sign for each space and apostrophe."""
    return {
        name: html.escape(value).replace(" ", "&nbsp;").replace("&#x27;", "&rsquo;")
        if name in {"title", "eng_title", "summary"} and isinstance(value, str)
        else value
        for name, value in item.items()
    }
