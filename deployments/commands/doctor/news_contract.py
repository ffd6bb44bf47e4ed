"""AskNews' answer to a news search as its documents describe it, to say where an answer is another.

The polls tolerate far more than this (see flows/asknews): what is found here is a change to look at, and harms no poll.
"""

import json
from collections import Counter
from typing import Any, cast
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, create_model

ENTITY_TYPES = (
    "Person", "Organization", "Location", "Nationality", "Date", "Event", "Money", "Law", "Quantity", "Time", "Sports",
    "Politics", "Title", "Number", "Arms", "Product", "Media", "Transportation", "Religion", "Technology", "Space",
    "Medicine", "Language", "Science",
)  # fmt: skip
LONGEST_NAME = 60


class _Documented(BaseModel):
    """No value is converted, and what is not documented is an error too."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Usage(_Documented):
    credits: int


class _Answer(_Documented):
    as_dicts: list[Any] | None
    as_string: str | None
    offset: int | str | None
    usage: _Usage | None
    hit_cache: bool | None = None


_NAMES: dict[str, Any] = dict.fromkeys(ENTITY_TYPES, list[str])
_Entities = create_model("_Entities", __base__=_Documented, **_NAMES)


class _Article(_Documented):
    article_id: UUID
    article_url: str
    title: str
    eng_title: str
    summary: str
    key_points: list[str] | None = None
    pub_date: AwareDatetime
    crawl_date: AwareDatetime | None = None
    sentiment: int
    entities: _Entities  # pyright: ignore[reportInvalidTypeForm]  # a model that is made
    classification: list[str] | str
    keywords: list[str]
    language: str
    country: str
    continent: str | None = None
    source_id: str
    domain_url: str
    page_rank: int
    as_string_key: str
    image_url: str | None = None
    image_description: str | None = None
    provocative: str | None = None
    reporting_voice: str | None = None
    bias: str | None = None
    content_type: str | None = None
    authors: list[dict[str, Any]] | None = None
    markdown_citation: str | None = None
    original_language_summary: str | None = None
    full_text: str | None = None
    centroid_distance: float | None = None
    cluster_probability: float | None = None
    medoid_distance: float | None = None
    geo_coordinates: dict[str, Any] | None = None
    entity_relation_graph: dict[str, Any] | None = None
    wikidata_entities: dict[str, Any] | None = None
    social_embeds: dict[str, Any] | None = None
    assets: dict[str, Any] | None = None


def deviations(answer: object) -> list[str]:
    """Return in words what in the answer (its JSON) is not as documented: each field once, with how often."""
    found = [f"The answer's {problem}." for problem in sorted(_problems(_Answer, answer))]
    articles = cast("dict[str, object]", answer).get("as_dicts") if isinstance(answer, dict) else None
    items = cast("list[object]", articles) if isinstance(articles, list) else []
    counts = Counter(problem for item in items for problem in _problems(_Article, item))
    return found + [f"An article's {problem}, in {count} of {len(items)}." for problem, count in counts.most_common()]


def _problems(model: type[_Documented], item: object) -> set[str]:
    """What in one item is not as the model says. JSON is read as such: strict, but with dates and ids in text."""
    try:
        model.model_validate_json(json.dumps(item))
    except ValidationError as error:
        return {_problem(each["loc"], each["type"], each["msg"]) for each in error.errors(include_input=False)}
    return set()


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    # Deeper parts are positions, and the names of alternatives.
    parts = location[:2] if location[:1] in {("entities",), ("usage",)} else location[:1]
    name = f"`{'.'.join(str(part)[:LONGEST_NAME] for part in parts)}`" if parts else "whole"
    match kind:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden":
            return f"{name} is unknown"
        case _:
            return f"{name} is another than documented ({message})"
