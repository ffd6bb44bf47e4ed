"""Stories: headline, strict pairing of the series, threads without people, and what is set aside."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from flows.asknews import RedditSentimentPoint, RedditThread, Reject, SentimentPoint, Story, parse_stories
from tests.asknews.fakes import ARTICLE_ID, HOUR, STORY_ID, STORY_TIME, story, thread, update

AT = datetime.fromtimestamp(STORY_TIME, UTC)
OTHER_ARTICLE = "11111111-2f3b-4a53-9f0c-5f5b1c0f8a11"


def parsed(**changes: Any) -> Story:
    records, rejects = parse_stories([story(**changes)])
    assert not rejects
    return records[0]


def rejected(**changes: Any) -> Reject:
    records, rejects = parse_stories([story(**changes)])
    assert not records
    return rejects[0]


def test_every_stored_field_of_a_story_is_read() -> None:
    record = parsed()
    assert record.story_id == UUID(STORY_ID)
    assert (record.headline, record.summary) == ("Claude gains a feature", "What is known so far.")
    assert (record.updated_at, record.article_count, record.update_count) == (AT, 3, 2)
    assert (record.topics, record.categories, record.keywords, record.people) == (
        ["Claude"],
        ["Technology"],
        ["ai"],
        [],
    )
    assert (record.countries, record.languages, record.sources) == ({"US": 3}, {"en": 3}, {"Example": 3})
    assert record.article_ids == [UUID(ARTICLE_ID)]


def test_the_series_are_paired_in_order_and_zero_is_a_value() -> None:
    record = parsed()
    assert record.sentiment == [
        SentimentPoint(at=AT - timedelta(seconds=HOUR), sentiment=0.0, rolling=0.0),
        SentimentPoint(at=AT, sentiment=1.0, rolling=0.5),
    ]
    assert record.reddit_sentiment == [RedditSentimentPoint(at=AT, sentiment=-0.25)]


@pytest.mark.parametrize(
    "changes",
    [
        {"sentiment": [1]},
        {"sentiment": [1, 0, 1]},
        {"sentiment": ...},
        {"sentiment_timestamps": []},
        {"sentiment_timestamps": None},
        {"reddit_sentiment": []},
        {"reddit_sentiment": [0, 0]},
        {"reddit_sentiment_timestamps": ...},
    ],
)
def test_series_of_unequal_length_set_the_story_aside(changes: dict[str, Any]) -> None:
    reject = rejected(**changes)
    assert reject.reason.startswith("has parallel arrays of unequal length: ")
    assert (reject.kind, reject.external_id) == ("story", STORY_ID)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("sentiment", [1, None]),
        ("sentiment", [1, "0"]),
        ("sentiment", [1, float("nan")]),
        ("sentiment", [1, 10**400]),
        ("sentiment", [1, True]),
        ("sentiment_timestamps", [STORY_TIME, "now"]),
        ("sentiment_timestamps", [STORY_TIME, STORY_TIME * 1000]),
    ],
)
def test_a_point_that_is_no_number_or_time_is_left_out_alone(field: str, values: object) -> None:
    record = parsed(**{field: values})
    assert record.sentiment == [SentimentPoint(at=AT, sentiment=1.0, rolling=0.5)]
    assert record.altered_fields == (field,)


@pytest.mark.parametrize("changes", [{"sentiment": ["good", "bad"]}, {"sentiment_timestamps": [None, ""]}])
def test_a_series_without_any_usable_point_sets_the_story_aside(changes: dict[str, Any]) -> None:
    assert rejected(**changes).reason == "has no usable pair in sentiment_timestamps and sentiment"


@pytest.mark.parametrize("field", ["sentiment", "sentiment_timestamps", "reddit_sentiment"])
@pytest.mark.parametrize("value", [5, "very good", {}])
def test_a_series_that_is_no_list_sets_the_story_aside(field: str, value: object) -> None:
    assert rejected(**{field: value}).reason.startswith(field)


@pytest.mark.parametrize("absent", [..., None, []])
def test_a_story_may_have_no_rolling_values_at_all(absent: object) -> None:
    assert [point.rolling for point in parsed(rolling_sentiment=absent).sentiment] == [None, None]


@pytest.mark.parametrize(
    ("sent", "read", "altered"),
    [
        ([None, 0.0], [0.0, None], ()),
        (["high", 0.0], [0.0, None], ("rolling_sentiment",)),
        ({}, [None, None], ("rolling_sentiment",)),
        ([0.5], [None, None], ("rolling_sentiment",)),
        ([0.5, 0.0, 0.5], [None, None], ("rolling_sentiment",)),
    ],
)
def test_rolling_values_may_have_gaps(sent: object, read: list[float | None], altered: tuple[str, ...]) -> None:
    record = parsed(rolling_sentiment=sent)
    assert ([point.rolling for point in record.sentiment], record.altered_fields) == (read, altered)


def test_a_story_may_have_no_series() -> None:
    nothing = dict.fromkeys(
        ("sentiment", "sentiment_timestamps", "rolling_sentiment", "reddit_sentiment", "reddit_sentiment_timestamps")
    )
    record = parsed(**nothing)
    assert (record.sentiment, record.reddit_sentiment) == ([], [])


def test_of_two_points_at_one_moment_the_later_one_stays() -> None:
    record = parsed(sentiment_timestamps=[STORY_TIME, STORY_TIME])
    assert record.sentiment == [SentimentPoint(at=AT, sentiment=0.0, rolling=0.0)]


def test_the_first_update_has_the_headline_the_last_the_summary() -> None:
    record = parsed(
        updates=[
            update(headline="First in the list", story="older", story_update_ts=STORY_TIME - HOUR),
            update(headline="Second in the list", story="newer", story_update_ts=STORY_TIME),
        ]
    )
    assert (record.headline, record.summary) == ("First in the list", "newer")


@pytest.mark.parametrize("updates", [[], None, [update(headline=" ")], [update(headline=None)]])
def test_without_a_headline_the_topic_serves_if_it_is_real(updates: object) -> None:
    assert parsed(updates=updates, topic="Claude's feature").headline == "Claude's feature"
    for placeholder in ("auto_generated", "Auto_Generated", "", None):
        record = parsed(updates=updates, topic=placeholder)
        assert (record.headline, record.altered_fields) == ("", ("headline",))


def test_threads_keep_counts_and_sentiment_but_no_person() -> None:
    (kept,) = parsed().reddit_threads
    assert kept == RedditThread(
        thread_id="5d0f6f0e-9d3c-4a0d-8d8f-0c5b1f4b7a90",
        url="https://www.reddit.com/r/LocalLLaMA/comments/1",
        subreddit="LocalLLaMA",
        published_at=datetime(2026, 9, 7, 20, tzinfo=UTC),
        upvotes=12,
        comment_count=3,
        sentiment=0.0,
    )
    assert "someone" not in kept.model_dump_json()


def test_threads_and_articles_of_all_updates_are_listed_once() -> None:
    old = update(
        story_update_ts=STORY_TIME - HOUR,
        article_ids=[ARTICLE_ID],
        reddit_threads=[thread(upvotes=1), thread(id="t3_old")],
    )
    new = update(article_ids=[OTHER_ARTICLE, ARTICLE_ID], reddit_threads=[thread(upvotes=2)])
    record = parsed(updates=[old, new])
    assert record.article_ids == [UUID(OTHER_ARTICLE), UUID(ARTICLE_ID)]
    assert [(kept.thread_id, kept.upvotes) for kept in record.reddit_threads] == [
        (thread()["id"], 2),
        ("t3_old", 12),
    ]


def test_a_thread_without_sentiment_or_counts_has_unknown_ones() -> None:
    (kept,) = parsed(
        updates=[update(reddit_threads=[thread(sentiment=None, upvotes=..., comments_count=None, date=None)])]
    ).reddit_threads
    assert (kept.sentiment, kept.upvotes, kept.comment_count, kept.published_at) == (None, None, None, None)


@pytest.mark.parametrize(
    ("odd", "name", "read"),
    [
        ({"url": "javascript:alert(1)"}, "url", ""),
        ({"url": {}}, "url", ""),
        ({"subreddit_name": 7}, "subreddit", ""),
        ({"upvotes": 2**31}, "upvotes", None),
        ({"date": "2026-09-07T20:00:00"}, "published_at", None),
        ({"sentiment": "good"}, "sentiment", None),
    ],
)
def test_an_odd_part_of_a_thread_is_left_out_alone_and_noted(odd: dict[str, Any], name: str, read: object) -> None:
    record = parsed(updates=[update(reddit_threads=[thread(**odd)])])
    (kept,) = record.reddit_threads
    assert (getattr(kept, name), record.altered_fields) == (read, (name,))


@pytest.mark.parametrize("broken", [{"id": ""}, {"id": ...}, {"id": "x" * 101}, {"id": True}])
def test_a_thread_without_an_id_is_left_out_alone_and_noted(broken: dict[str, Any]) -> None:
    record = parsed(updates=[update(reddit_threads=[thread(**broken), thread(), None])])
    assert [kept.thread_id for kept in record.reddit_threads] == [thread()["id"]]
    assert record.altered_fields == ("reddit_threads",)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("/r/LocalLLaMA/comments/1/a b/", "https://www.reddit.com/r/LocalLLaMA/comments/1/a%20b/"),
        ("https://www.reddit.com/r/a", "https://www.reddit.com/r/a"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_relative_address_is_reddits_and_an_empty_one_is_empty(sent: object, stored: str) -> None:
    assert parsed(updates=[update(reddit_threads=[thread(url=sent)])]).reddit_threads[0].url == stored


def test_an_update_and_an_article_id_stand_alone() -> None:
    record = parsed(
        updates=[update(article_ids=["no-uuid", ARTICLE_ID, 7]), "an update", update(story_update_ts="soon")]
    )
    assert (len(record.updates), record.article_ids) == (2, [UUID(ARTICLE_ID)])
    assert record.altered_fields == ("article_ids", "updated_at", "updates")


def test_a_reject_keeps_neither_authors_nor_writings_of_reddit() -> None:
    raw = rejected(uuid=None).raw
    assert "someone" not in raw
    assert "what somebody wrote" not in raw


def test_counts_may_come_as_a_list_of_names() -> None:
    assert parsed(languages=["en", "de", "en"]).languages == {"en": 2, "de": 1}


@pytest.mark.parametrize(
    ("sent", "count", "altered"),
    [
        (7, 7, ()),
        ([2, None, 1], 3, ("n_articles",)),
        ([2**31 - 1, 1], 0, ("n_articles",)),
        ("many", 0, ("n_articles",)),
    ],
)
def test_the_article_count_is_a_number_or_list_and_fits_32_bits(
    sent: object, count: int, altered: tuple[str, ...]
) -> None:
    record = parsed(n_articles=sent)
    assert (record.article_count, record.altered_fields) == (count, altered)


def test_an_odd_count_of_an_object_is_left_out_alone() -> None:
    record = parsed(countries={"US": 3, "DE": None, "FR": "4"}, languages=7)
    assert (record.countries, record.languages) == ({"US": 3}, {})
    assert record.altered_fields == ("countries", "languages")


@pytest.mark.parametrize("field", ["uuid", "updated_ts"])
@pytest.mark.parametrize("value", [None, ..., [], "soon"])
def test_a_story_without_identity_or_time_is_set_aside(field: str, value: object) -> None:
    assert rejected(**{field: value}).reason.startswith(field)


def test_over_long_text_is_cut_and_noted() -> None:
    record = parsed(updates=[update(headline="h" * 2_000)], keywords=["k"] * 500)
    assert (len(record.headline), len(record.keywords)) == (1_000, 200)
    assert record.altered_fields == ("headline", "keywords")
