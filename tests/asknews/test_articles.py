"""Articles: what is read off the wire, what is tolerated, and what is set aside with which reason."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from flows.asknews import Article, Reject, parse_articles
from tests.asknews.fakes import ARTICLE_ID, article


def parsed(**changes: Any) -> Article:
    records, rejects = parse_articles([article(**changes)])
    assert not rejects
    return records[0]


def rejected(**changes: Any) -> Reject:
    records, rejects = parse_articles([article(**changes)])
    assert not records
    return rejects[0]


def test_every_stored_field_of_an_article_is_read() -> None:
    assert parsed() == Article(
        article_id=UUID(ARTICLE_ID),
        url="https://news.example/ai/claude",
        title="Ein neues Modell",
        english_title="A new model",
        summary="Claude gained a feature.",
        key_points=["It is faster."],
        published_at=datetime(2026, 9, 7, 22, 2, 58, tzinfo=UTC),
        crawled_at=datetime(2026, 9, 7, 23, 1, tzinfo=UTC),
        sentiment=1,
        entities={"Product": ["Claude"], "Organization": ["Anthropic"]},
        classification=["Technology"],
        keywords=["ai", "models"],
        language="de",
        country="DE",
        source_name="Beispiel",
        domain="news.example",
        page_rank=4321,
        image_url="https://news.example/claude.png",
        provocative="low",
        reporting_voice="Objective",
        bias="None",
        content_type="article",
    )


def test_a_neutral_sentiment_is_a_value() -> None:
    assert parsed(sentiment=0).sentiment == 0


def test_unknown_fields_and_enum_values_are_tolerated() -> None:
    record = parsed(provocative="volcanic", classification=["Xenology"], bias="Upward", something_new={"deep": [1]})
    assert (record.provocative, record.classification, record.bias) == ("volcanic", ["Xenology"], "Upward")


def test_a_classification_is_a_string_or_a_list() -> None:
    assert parsed(classification="Business").classification == ["Business"]


@pytest.mark.parametrize("absent", [None, ...])
def test_optional_fields_may_be_null_or_missing(absent: object) -> None:
    optional = ("eng_title", "key_points", "crawl_date", "entities", "keywords", "country", "page_rank", "image_url")
    record = parsed(**dict.fromkeys(optional, absent))
    assert (record.english_title, record.key_points, record.crawled_at, record.entities) == (None, [], None, {})
    assert (record.keywords, record.country, record.page_rank, record.image_url) == ([], "Unknown", None, None)
    assert record.altered_fields == ()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-09-07T22:02:58.250Z", datetime(2026, 9, 7, 22, 2, 58, 250_000, tzinfo=UTC)),
        ("2026-09-08T00:02:58+02:00", datetime(2026, 9, 7, 22, 2, 58, tzinfo=UTC)),
        (1_788_818_578, datetime(2026, 9, 7, 22, 2, 58, tzinfo=UTC)),
        (1_788_818_578.5, datetime(2026, 9, 7, 22, 2, 58, 500_000, tzinfo=UTC)),
    ],
)
def test_a_date_becomes_aware_utc(sent: object, read: datetime) -> None:
    record = parsed(pub_date=sent)
    assert record.published_at == read
    assert record.published_at.tzinfo is UTC


@pytest.mark.parametrize(
    "date",
    [
        "2026-09-07T22:02:58",
        "2026-09-07",
        "yesterday",
        "",
        True,
        [],
        1_788_818_578_000,
        10**400,
        float("nan"),
        float("inf"),
        -(10**17),
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_date_that_is_naive_or_nonsense_sets_the_article_aside(date: object) -> None:
    assert rejected(pub_date=date).reason.startswith("pub_date is ")


@pytest.mark.parametrize("sentiment", [True, "1", 0.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), [1], {}])
def test_a_sentiment_that_is_no_number_of_32_bits_is_unknown(sentiment: object) -> None:
    record = parsed(sentiment=sentiment)
    assert (record.sentiment, record.altered_fields) == (None, ("sentiment",))


@pytest.mark.parametrize("absent", [None, ...])
def test_an_article_without_sentiment_is_kept_and_says_so(absent: object) -> None:
    record = parsed(sentiment=absent)
    assert (record.sentiment, record.altered_fields) == (None, ("sentiment",))


def test_a_whole_number_may_come_with_a_decimal_point() -> None:
    assert parsed(sentiment=-1.0).sentiment == -1


@pytest.mark.parametrize("field", ["article_id", "pub_date"])
@pytest.mark.parametrize("absent", [None, ..., {}])
def test_an_article_without_what_it_needs_is_set_aside(field: str, absent: object) -> None:
    assert rejected(**{field: absent}).reason.startswith(f"{field} ")


@pytest.mark.parametrize("absent", [None, ..., {}, ""])
def test_an_article_without_its_whole_content_says_what_it_lacks(absent: object) -> None:
    record = parsed(article_url=absent, summary=absent)
    assert (record.url, record.summary, record.altered_fields) == ("", "", ("summary", "url"))


def test_an_article_without_any_content_is_set_aside() -> None:
    reject = rejected(article_url=None, summary="", title=" ", eng_title={})
    assert reject.reason == "the item has neither title, summary nor address"


@pytest.mark.parametrize("title", ["", " ", None, ..., 7])
def test_the_english_title_serves_where_there_is_no_other(title: object) -> None:
    record = parsed(title=title)
    assert (record.title, record.english_title, record.altered_fields) == ("A new model", "A new model", ("title",))


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,hello",
        "/relative",
        "https://",
        "http://[broken",
        "https://a b.example/",
        7,
    ],
)
def test_an_unusable_address_is_left_out_and_noted(url: object) -> None:
    record = parsed(article_url=url)
    assert (record.url, record.altered_fields) == ("", ("url",))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("https://a.example/a b", "https://a.example/a%20b"),
        ('https://a.example/"onload="x', "https://a.example/%22onload=%22x"),
        (" https://a.example/a\n/b?c=%20#d ", "https://a.example/a/b?c=%20#d"),
        ("https://a.example/\u6587|", "https://a.example/\u6587%7C"),
    ],
)
def test_what_cannot_stand_in_an_address_is_encoded(sent: str, stored: str) -> None:
    record = parsed(article_url=sent)
    assert (record.url, record.altered_fields) == (stored, ())


def test_a_long_address_is_kept_and_an_absurd_one_is_not() -> None:
    assert len(parsed(article_url="https://a.example/" + "a" * 60_000).url) == 60_018
    assert parsed(article_url="https://a.example/" + "a" * 70_000).altered_fields == ("url",)


def test_an_unusable_image_is_left_out_and_noted() -> None:
    record = parsed(image_url="data:image/png;base64,AAAA")
    assert (record.image_url, record.altered_fields) == (None, ("image_url",))


def test_a_label_of_another_type_is_left_out_and_noted() -> None:
    record = parsed(reporting_voice=["Objective"], bias=3)
    assert (record.reporting_voice, record.bias) == (None, None)
    assert record.altered_fields == ("bias", "reporting_voice")


def test_nul_is_removed_and_lone_surrogates_are_replaced() -> None:
    dirty = "a\0b\ud800c"
    record = parsed(
        title=dirty, summary=dirty, eng_title=dirty, keywords=[dirty], entities={dirty: [dirty]}, source_id=dirty
    )
    clean = "ab\ufffdc"
    assert (record.title, record.summary, record.english_title, record.source_name) == (clean, clean, clean, clean)
    assert (record.keywords, record.entities) == ([clean], {clean: [clean]})
    record.model_dump_json().encode()


def test_over_long_text_and_lists_are_cut_and_noted() -> None:
    record = parsed(title="t" * 10_000_000, keywords=["k"] * 101, entities={"Person": ["p" * 201]})
    assert (len(record.title), len(record.keywords), len(record.entities["Person"][0])) == (1_000, 100, 200)
    assert record.altered_fields == ("entities", "keywords", "title")


@pytest.mark.parametrize(
    ("field", "name", "otherwise"),
    [
        ("entities", "entities", {}),
        ("keywords", "keywords", []),
        ("key_points", "key_points", []),
        ("classification", "classification", []),
        ("language", "language", ""),
        ("country", "country", "Unknown"),
        ("page_rank", "page_rank", None),
        ("crawl_date", "crawled_at", None),
        ("eng_title", "english_title", None),
        ("image_url", "image_url", None),
    ],
)
@pytest.mark.parametrize("value", [7.5, [[]], {"a": {"b": 1}}, True])
def test_a_side_field_of_the_wrong_type_is_left_out_and_noted(
    field: str, name: str, otherwise: object, value: object
) -> None:
    if field == "crawl_date" and value == 7.5:
        value = "yesterday"
    record = parsed(**{field: value})
    assert (getattr(record, name), record.altered_fields) == (otherwise, (name,))


@pytest.mark.parametrize("page_rank", [2**31, 10**30, "12", float("nan")])
def test_a_page_rank_that_is_no_number_of_32_bits_is_unknown(page_rank: object) -> None:
    record = parsed(page_rank=page_rank)
    assert (record.page_rank, record.altered_fields) == (None, ("page_rank",))


@pytest.mark.parametrize("crawl_date", ["", "2026-09-07T22:02:58", 10**400])
def test_an_odd_crawl_date_is_unknown(crawl_date: object) -> None:
    record = parsed(crawl_date=crawl_date)
    assert (record.crawled_at, record.altered_fields) == (None, ("crawled_at",))


def test_an_odd_item_of_a_list_is_left_out_alone() -> None:
    record = parsed(
        keywords=["ai", None, {}, 3, " "], entities={"Product": ["Claude", None], "Person": {"a": 1}, "Money": None}
    )
    assert (record.keywords, record.entities) == (["ai", "3"], {"Product": ["Claude"]})
    assert record.altered_fields == ("entities", "keywords")


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parsed().title = "other"  # pyright: ignore[reportAttributeAccessIssue]  # that it is refused is the point
