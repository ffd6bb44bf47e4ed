"""The made-up articles read like news, carry every field of the contract, and set the traps that they should."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from deployments.sandbox.content_files import load_content
from tests.sandbox.asking import TRACKED, all_articles, answer, asking
from tests.support.sandbox_server import ManualClock

WEEK_HOURS = 168


async def read_week() -> list[dict[str, Any]]:
    async with asking(clock=ManualClock(), page_cap=100) as client:
        return await all_articles(client, page_size=100, historical=True, hours_back=WEEK_HOURS)


async def read_truth() -> dict[str, list[str]]:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        window = {"start_timestamp": clock.timestamp - WEEK_HOURS * 3600, "end_timestamp": clock.timestamp}
        return {one["article_id"]: one["mentions"] for one in await answer(client, "/_sandbox/articles", window)}


@pytest.fixture(scope="module")
def week() -> list[dict[str, Any]]:
    """The articles of a week."""
    return asyncio.run(read_week())


@pytest.fixture(scope="module")
def truth() -> dict[str, list[str]]:
    """What each article of that week is truly about, by its id."""
    return asyncio.run(read_truth())


def test_the_truth_covers_every_article(week: list[dict[str, Any]], truth: dict[str, list[str]]) -> None:
    assert {article["article_id"] for article in week} == truth.keys()


def test_every_tracked_entity_is_in_the_news_and_no_other(truth: dict[str, list[str]]) -> None:
    counts = Counter(name for names in truth.values() for name in names)
    assert set(counts) == set(TRACKED)
    assert min(counts.values()) > 100


def test_some_articles_mention_two_entities_and_some_none(truth: dict[str, list[str]]) -> None:
    counts = Counter(len(names) for names in truth.values())
    assert counts[0] > 200
    assert counts[2] > 200
    assert counts[4] > 0


def test_a_days_titles_hardly_repeat(week: list[dict[str, Any]]) -> None:
    originals = {article["article_url"]: article["eng_title"] for article in week[:400]}
    assert len(set(originals.values())) > 0.95 * len(originals)


def test_no_gap_of_a_template_is_left_open(week: list[dict[str, Any]]) -> None:
    for article in week:
        text = " ".join([article["title"], article["eng_title"], article["summary"], *article["key_points"]])
        assert not re.search(r"[{}]|,[.,;:?!]|  ", text), text
        assert article["summary"][0].isupper() or article["summary"].startswith("v0"), article["summary"]


@pytest.mark.parametrize(
    "trap",
    [
        "precursor chemicals", "Claude Monet", "Jean-Claude", "Claude Debussy", "Gemini horoscope",
        "constellation Gemini", "exchange Gemini", "Project Gemini", "Mistral winds", "Mistral-class",
        "Gabriela Mistral", "Runaway llama", "llama wool", "llama a la calma", "mouse cursor", "cursor pagination",
        "blinking cursor", "lovable dog", "lovable rogue", "velocity v0", "copilot landed", "Microsoft 365 Copilot",
        "GPT-4 is retired", "Dev Anand",
    ],
)  # fmt: skip
def test_the_news_of_a_week_holds_the_trap(trap: str, week: list[dict[str, Any]], truth: dict[str, list[str]]) -> None:
    caught = [one for one in week if trap.casefold() in f"{one['title']} {one['summary']}".casefold()]
    assert caught
    assert any(not truth[article["article_id"]] for article in caught)


def test_a_real_mention_can_stand_beside_its_homonym(week: list[dict[str, Any]], truth: dict[str, list[str]]) -> None:
    beside = [one for one in week if "Claude Monet" in one["summary"] and truth[one["article_id"]] == ["Claude"]]
    assert beside


def test_an_articles_text_names_what_it_is_about(week: list[dict[str, Any]], truth: dict[str, list[str]]) -> None:
    hidden: list[dict[str, Any]] = []
    for article in week:
        text = f"{article['title']} {article['eng_title']} {article['summary']}"
        if not all(name in text for name in truth[article["article_id"]]):
            hidden.append(article)
    # In a few, the name stands in the full text only, and the entity lists tell of it.
    assert 0 < len(hidden) < 0.02 * len(week)
    assert all("Claude" in article["entities"]["Product"] for article in hidden)


def test_sentiments_are_minus_one_to_one_and_often_neutral(week: list[dict[str, Any]]) -> None:
    counts = Counter(article["sentiment"] for article in week)
    assert set(counts) == {-1, 0, 1}
    assert all(isinstance(article["sentiment"], int) for article in week)
    assert min(counts.values()) > 0.15 * len(week)


@pytest.mark.parametrize("file", ["scenarios", "traps", "background"])
def test_bad_news_is_not_told_in_a_cheerful_tone(file: str) -> None:
    content = load_content()
    entries = {"scenarios": content.scenarios, "traps": content.traps, "background": content.background}[file]
    for entry in entries:
        title = entry.titles[0].casefold()
        if any(word in title for word in ("outage", "backlash", "wildfire", "scam", "strike", "lawsuit")):
            assert entry.sentiment == -1, title
        if any(word in title for word in ("wins", "award", "faster", "named product of the year")):
            assert entry.sentiment == 1, title


def test_awkward_values_occur(week: list[dict[str, Any]]) -> None:
    assert {type(article["classification"]) for article in week} == {str, list}
    assert any(article["bias"] == "None" for article in week)
    assert any(article["country"] == "Unknown" and article["continent"] is None for article in week)
    assert any(not article["source_id"].isascii() for article in week)
    assert {article["language"] for article in week} >= {"en", "de", "ru", "zh", "jp", "ko", "ar", "uk"}
    for language in ("ru", "zh", "jp", "ko", "ar", "uk"):
        assert all(not article["title"].isascii() for article in week if article["language"] == language)
    assert all(article["eng_title"] == article["title"] for article in week if article["language"] == "en")
    assert any("@" in article["authors"][0]["email"] for article in week if article["authors"] is not None)
    assert any(article["authors"] is None for article in week)


def test_every_article_has_24_lists_of_entities(week: list[dict[str, Any]]) -> None:
    for article in week:
        assert len(article["entities"]) == 24
        assert all(isinstance(names, list) for names in article["entities"].values())


def test_no_link_leads_to_a_real_site(week: list[dict[str, Any]]) -> None:
    for article in week:
        assert article["domain_url"].endswith(".example")
        assert article["domain_url"] in article["article_url"]


async def test_the_truth_and_the_search_see_late_arrivals_alike() -> None:
    clock = ManualClock()
    async with asking(clock=clock, late_share=0.5, slot_seconds=60) as client:
        window = {"start_timestamp": clock.timestamp - 1800, "end_timestamp": clock.timestamp}
        found = {one["article_id"] for one in await all_articles(client, **window)}
        true = {one["article_id"] for one in await answer(client, "/_sandbox/articles", window)}
    assert found == true
