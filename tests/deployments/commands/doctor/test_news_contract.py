"""Where an answer of AskNews is another than its documents say."""

from typing import Any

import pytest

from deployments.commands.doctor.news_contract import ENTITY_TYPES, deviations

ARTICLE: dict[str, Any] = {
    "article_id": "9ed91b09-d6f7-4b81-a4a2-5ce7d4a8d5ee", "article_url": "https://example.org/a", "title": "A",
    "eng_title": "A", "summary": "S", "pub_date": "2026-09-07T22:02:58Z", "sentiment": -1, "keywords": ["x"],
    "entities": {name: [] for name in ENTITY_TYPES}, "classification": ["Technology"], "language": "en",
    "country": "US", "source_id": "Example", "domain_url": "example.org", "page_rank": 12, "as_string_key": "k",
}  # fmt: skip


def answer(*articles: Any, **changes: Any) -> dict[str, Any]:
    return {"as_dicts": list(articles), "as_string": None, "offset": 10, "usage": {"credits": 1}} | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ARTICLE.items() if key != name}


def test_an_answer_as_documented_has_no_deviation() -> None:
    assert deviations(answer(ARTICLE, ARTICLE | {"classification": "Technology", "crawl_date": None})) == []


ODD: list[tuple[dict[str, Any], str]] = [
    (without("summary"), "`summary` is missing"),
    (ARTICLE | {"mood": 1}, "`mood` is unknown"),
    (ARTICLE | {"sentiment": "-1"}, "`sentiment` is another than documented (Input should be a valid integer)"),
    (ARTICLE | {"entities": ARTICLE["entities"] | {"Robot": []}}, "`entities.Robot` is unknown"),
    (ARTICLE | {"entities": {}}, "`entities.Person` is missing"),
]


@pytest.mark.parametrize(("article", "said"), ODD)
def test_each_kind_of_deviation_is_told_with_its_count(article: dict[str, Any], said: str) -> None:
    assert f"An article's {said}, in 2 of 3." in deviations(answer(article, ARTICLE, article))


def test_dates_have_an_offset_and_are_text() -> None:
    for odd in ("2026-09-07T22:02:58", 1_788_000_000):
        (told,) = deviations(answer(ARTICLE | {"pub_date": odd}))
        assert told.startswith("An article's `pub_date` is another than documented")


def test_the_answer_around_the_articles_is_looked_at_too() -> None:
    assert deviations(answer(usage={"credits": 1, "left": 9}, next="x")) == [
        "The answer's `next` is unknown.",
        "The answer's `usage.left` is unknown.",
    ]


def test_anything_may_come() -> None:
    anything: list[Any] = [None, [], "x", answer(None, 7, [])]
    assert all(map(deviations, anything))
