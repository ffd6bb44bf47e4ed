"""News articles, as far as they are stored: no authors (they may hold e-mail addresses) and no full text."""

# pydantic copies mutable defaults.
# ruff: noqa: RUF012

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator

from flows.asknews import collections, fields
from flows.asknews.addresses import web_address
from flows.asknews.records import Record, Reject, parse_items


class Article(Record):
    """One article. Dates are aware UTC; `sentiment` is AskNews' whole number, -1 to 1 as far as observed: 0 is
    neutral, None unknown.

    It needs its id, its publication date, and at least one of title, summary and address; all else may be missing or
    odd. Limits, in characters: title and English title 1,000, summary 20,000, each of 50 key points 2,000,
    names and labels 255, each of 100 keywords 200; addresses 65,536. `altered_fields` names (as here) what was cut to
    its limit, or dropped because it was unusable.
    """

    article_id: Annotated[UUID, BeforeValidator(fields.uuid)]
    url: Annotated[str, fields.side(web_address, "")] = Field("", validation_alias="article_url")
    # The English title, where there is no title (inferred).
    title: Annotated[str, fields.text(1_000)] = ""
    english_title: Annotated[str | None, fields.text(1_000, None)] = Field(None, validation_alias="eng_title")
    summary: Annotated[str, fields.text(20_000)] = ""
    key_points: Annotated[list[str], collections.texts(50, 2_000)] = []
    published_at: Annotated[datetime, BeforeValidator(fields.moment)] = Field(validation_alias="pub_date")
    crawled_at: Annotated[datetime | None, fields.side(fields.moment)] = Field(None, validation_alias="crawl_date")
    sentiment: Annotated[int | None, fields.side(fields.whole_number)] = None
    # By type, such as Person, Organization, Product; types without a name are left out.
    entities: Annotated[dict[str, list[str]], collections.texts_by_type(64, 200, 200)] = {}
    # A string in older responses, a list in newer ones.
    classification: Annotated[list[str], collections.texts(50, 255)] = []
    keywords: Annotated[list[str], collections.texts(100, 200)] = []
    language: Annotated[str, fields.text(255)] = ""
    # ISO 3166-1 alpha-2, or AskNews' own word `Unknown`.
    country: Annotated[str, fields.text(255, "Unknown")] = "Unknown"
    source_name: Annotated[str, fields.text(255)] = Field("", validation_alias="source_id")
    domain: Annotated[str, fields.text(255)] = Field("", validation_alias="domain_url")
    page_rank: Annotated[int | None, fields.side(fields.whole_number)] = None
    image_url: Annotated[str | None, fields.side(lambda value: None if value == "" else web_address(value))] = None
    provocative: Annotated[str | None, fields.text(255, None)] = None
    reporting_voice: Annotated[str | None, fields.text(255, None)] = None
    # The string `None` is one of AskNews' values.
    bias: Annotated[str | None, fields.text(255, None)] = None
    content_type: Annotated[str | None, fields.text(255, None)] = None
    altered_fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not (self.title or self.english_title or self.summary or self.url):
            raise ValueError("has neither title, summary nor address")
        return self


def parse_articles(items: Sequence[object]) -> tuple[list[Article], list[Reject]]:
    """Return articles and rejects of one response's items, together exactly as many as `items`. Raises nothing."""
    return parse_items(items, _parse_article, kind="article", id_field="article_id")


def crawl_time_of(raw: str) -> datetime | None:
    """Return when the article that a reject's `raw` holds was crawled; None if that cannot be read, or was cut off."""
    try:
        return fields.moment(json.loads(raw)["crawl_date"])
    except (ValueError, TypeError, KeyError):
        return None


def _parse_article(item: object) -> Article:
    altered: set[str] = set()
    article = Article.model_validate(item, context=altered)
    # Every article has these (doc): without them, it is not the whole article.
    altered |= {name for name in ("title", "summary", "url", "sentiment") if getattr(article, name) in ("", None)}
    title = article.title or article.english_title or ""
    return article.model_copy(update={"title": title, "altered_fields": tuple(sorted(altered))})
