"""One article as AskNews sends it: every field of the contract, and those that the official SDK insists on."""

from dataclasses import dataclass
from datetime import UTC, datetime

from deployments.sandbox.content_files import Evidence, Outlet, Tone
from deployments.sandbox.draw import Draw
from deployments.sandbox.timeline import Stamp
from deployments.sandbox.writing import slug

ENTITY_TYPES = (
    "Person", "Organization", "Location", "Nationality", "Date", "Event", "Money", "Law", "Quantity", "Time", "Sports",
    "Politics", "Title", "Number", "Arms", "Product", "Media", "Transportation", "Religion", "Technology", "Space",
    "Medicine", "Language", "Science",
)  # fmt: skip

CONTINENTS = {
    "US": "North America", "CA": "North America", "BR": "South America", "GB": "Europe", "IE": "Europe", "DE": "Europe",
    "FR": "Europe", "ES": "Europe", "SE": "Europe", "UA": "Europe", "RU": "Europe", "IN": "Asia", "SG": "Asia",
    "CN": "Asia", "JP": "Asia", "KR": "Asia", "AE": "Middle East", "EG": "Africa", "NG": "Africa", "AU": "Oceania",
}  # fmt: skip

_BIASES = ("None", "None", "None", "None", "Spin", "Slant", "Sensationalism", "Opinion-as-Fact", "Unknown")
_PROVOCATIVE = {-1: ("low", "medium", "medium", "high"), 0: ("low",), 1: ("low", "low", "medium")}
_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BYLINES = ("Alex Moreau", "Kim Sørensen", "Jamie Oduya", "Robin Castellan", "Sasha Whitlock", "Toni Brandl")


@dataclass(frozen=True, slots=True)
class Text:
    """What an article says."""

    title: str
    english_title: str
    summary: str
    key_points: tuple[str, ...]
    # Words that a search finds and a response does not show.
    hidden: str
    keywords: tuple[str, ...]
    classification: tuple[str, ...] | str
    sentiment: Tone
    content_type: str
    voice: str
    mentions: tuple[str, ...]
    entities: Evidence
    outlet: Outlet


def iso(unix_seconds: int) -> str:
    """Write the moment as AskNews does: UTC, whole seconds, `Z`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def entity_lists(entities: Evidence) -> dict[str, list[str]]:
    """Return all 24 lists of names; most are empty."""
    return {kind: list(entities.get(kind, ())) for kind in ENTITY_TYPES}


def article_payload(draw: Draw, stamp: Stamp, text: Text, address: str) -> dict[str, object]:
    """Return the JSON of one article."""
    outlet = text.outlet
    # Older articles carry a single classification as a string.
    classification: object = text.classification if isinstance(text.classification, str) else list(text.classification)
    byline = draw.pick(_BYLINES)
    key_draw = Draw("key", stamp.article_id)
    authors: list[dict[str, str | None]] = [
        {
            "name": byline,
            "email": f"{slug(byline)}@{outlet.domain}",
            "url": f"https://www.{outlet.domain}/by/{slug(byline)}",
        }
    ]
    return {
        "article_id": str(stamp.article_id),
        "article_url": address,
        "title": text.title,
        "eng_title": text.english_title,
        "summary": text.summary,
        "key_points": list(text.key_points),
        "pub_date": iso(stamp.published_at),
        "crawl_date": iso(stamp.crawled_at),
        "sentiment": text.sentiment,
        "entities": entity_lists(text.entities),
        "classification": classification,
        "keywords": list(text.keywords),
        "language": outlet.language,
        "country": outlet.country,
        "continent": CONTINENTS.get(outlet.country),
        "source_id": outlet.name,
        "domain_url": outlet.domain,
        "page_rank": outlet.page_rank,
        "image_url": f"https://images.{outlet.domain}/{draw.number(10_000, 99_999)}.jpg",
        "provocative": draw.pick(_PROVOCATIVE[text.sentiment]),
        "reporting_voice": text.voice,
        "bias": draw.pick(_BIASES),
        "content_type": text.content_type,
        "authors": authors if draw.chance(0.6) else None,
        "markdown_citation": f"[{outlet.name}]({address})",
        "as_string_key": "".join(key_draw.pick(_KEY_ALPHABET) for _ in range(12)),
        "centroid_distance": draw.number(50, 700) / 1000,
        "cluster_probability": draw.number(300, 1000) / 1000,
        "medoid_distance": draw.number(50, 700) / 1000,
        "geo_coordinates": None,
        "entity_relation_graph": None,
        "social_embeds": None,
        "assets": None,
        "full_text": None,
    }
