"""Good answers with bad items in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from deployments.sandbox.faults import Fault
from deployments.sandbox.odd_fields import (
    ODD_ARTICLES,
    ODD_STORIES,
    as_html,
    with_long_address,
    with_paths_at_reddit,
    without_rolling,
)

POISON_ID = "00000000-dead-5bad-8bad-000000000000"

Item = Mapping[str, object]
_Spoil = Callable[[Item], object]


def _without(item: Item, *fields: str) -> object:
    return {name: value for name, value in item.items() if name not in fields}


def _shortened(values: object) -> object:
    return cast("list[object]", values)[:-1]


# What is done to the first item, the second, and so on; then again from the start.
_ARTICLE_SPOILERS: tuple[_Spoil, ...] = (
    lambda item: _without(item, "article_id"),
    lambda item: {**item, "pub_date": "yesterday afternoon"},
    lambda item: {**item, "pub_date": None},
    lambda item: _without(item, "pub_date"),
    lambda item: {**item, "article_id": "no-uuid"},
    lambda item: f"article {item['article_id']}",
)
_STORY_SPOILERS: tuple[_Spoil, ...] = (
    lambda item: _without(item, "uuid"),
    lambda item: {**item, "sentiment_timestamps": _shortened(item["sentiment_timestamps"])},
    lambda item: {**item, "sentiment": "very good"},
    lambda item: {**item, "updated_ts": "yesterday afternoon"},
    lambda item: {**item, "uuid": "no-uuid"},
    lambda item: f"story {item['uuid']}",
)


def damage(fault: Fault | None, items: Sequence[Item], *, page_size: int) -> list[object]:
    """Return `items` as `fault` leaves them: articles or stories, told apart by their fields."""
    if fault is None or not items:
        return list(items)
    first, *rest = items
    is_article = "article_id" in first
    text_field = "summary" if is_article else "topic"
    match fault.kind:
        case "malformed_items":
            spoilers = _ARTICLE_SPOILERS if is_article else _STORY_SPOILERS
            spoilt = [spoilers[number % len(spoilers)](item) for number, item in enumerate(items[: fault.items])]
            return [*spoilt, *items[fault.items :]]
        case "poison" if len(items) < page_size:
            # Only on the last page, where one item more does not hide a good one.
            identity = {"article_id": POISON_ID} if is_article else {"uuid": POISON_ID}
            return [*items, {**first, **identity, "pub_date": "some time", "updated_ts": "some time"}]
        case "nul_bytes":
            return [{**first, "title": "A NUL \x00 and half a pair \ud83d", text_field: "before\x00after"}, *rest]
        case "huge_field":
            return [{**first, text_field: "x" * fault.size_bytes}, *rest]
        case "odd_fields":
            odd = ODD_ARTICLES if is_article else ODD_STORIES
            return [odd[number % len(odd)](item) for number, item in enumerate(items)]
        case "odd_addresses":
            return [with_long_address(item) if is_article else with_paths_at_reddit(item) for item in items]
        case "no_rolling":
            return [without_rolling(item) for item in items]
        case "html_entities":
            return [as_html(item) for item in items]
        case "unknown_values":
            new = {
                "bias": "Quantum",
                "content_type": "hologram",
                "continent": "Atlantis",
                "added_next_year": {"a": [1]},
            }
            return [{**item, **new} for item in items]
        case _:
            return list(items)
