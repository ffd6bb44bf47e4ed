"""Properties over arbitrary JSON: nothing raises, nothing is lost, and what comes out fits into a database."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.asknews import parse_articles, parse_stories
from tests.asknews.fakes import article, story, update

# With lone surrogates and NUL, which JSON's escapes can carry.
TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**25, max_value=10**30)
    | st.floats()
    | TEXT
    | st.sampled_from(["2026-09-07T22:02:58Z", "https://news.example/a", "0b5a1f6e-2f3b-4a53-9f0c-5f5b1c0f8a11"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from(["id", "url"]), inner, max_size=4)
    ),
    max_leaves=10,
)


def mutations(payload: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`payload` with some of its fields replaced by any JSON."""
    return st.dictionaries(st.sampled_from(sorted(payload)), JSON, max_size=3).map(lambda changes: payload | changes)


ARTICLES = mutations(article())
STORIES = mutations(story()) | mutations(update()).map(lambda changed: story(updates=[changed]))


@settings(max_examples=300)
@given(st.lists(JSON | ARTICLES, max_size=6))
def test_every_item_becomes_an_article_or_a_reject(items: list[object]) -> None:
    records, rejects = parse_articles(items)
    assert len(items) == len(records) + len(rejects)
    for record in records:
        assert_fits(record.model_dump_json())
        assert record.sentiment is None or abs(record.sentiment) < 2**31
    for reject in rejects:
        assert_fits(reject.reason + reject.raw + (reject.external_id or ""))
        assert reject.reason


@settings(max_examples=300)
@given(st.lists(JSON | STORIES, max_size=6))
def test_every_item_becomes_a_story_or_a_reject(items: list[object]) -> None:
    records, rejects = parse_stories(items)
    assert len(items) == len(records) + len(rejects)
    for record in records:
        assert_fits(record.model_dump_json())
        assert sorted({point.at for point in record.sentiment}) == [point.at for point in record.sentiment]
    for reject in rejects:
        assert_fits(reject.reason + reject.raw + (reject.external_id or ""))


@settings(max_examples=300)
@given(
    st.lists(st.integers(-1, 1), max_size=5),
    st.lists(st.integers(1_700_000_000, 1_800_000_000), max_size=5),
    st.none() | st.lists(st.floats(-1, 1), max_size=5),
)
def test_a_story_is_kept_exactly_if_its_series_pair(
    values: list[int], timestamps: list[int], rolling: list[float] | None
) -> None:
    records, _rejects = parse_stories(
        [story(sentiment=values, sentiment_timestamps=timestamps, rolling_sentiment=rolling)]
    )
    assert bool(records) == (len(values) == len(timestamps))
    if records:
        assert len(records[0].sentiment) == len(set(timestamps))


def test_the_examples_that_are_mutated_are_themselves_good() -> None:
    assert not parse_articles([article()])[1]
    assert not parse_stories([story()])[1]


def assert_fits(text: str) -> None:
    """What PostgreSQL's driver and SQLite take: encodable, and without NUL."""
    text.encode()
    assert "\0" not in text
