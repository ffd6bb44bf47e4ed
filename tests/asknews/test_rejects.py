"""What is set aside: the article that it was, a short reason, and its JSON within bounds."""

from typing import Any

import pytest

from flows.asknews import Reject, parse_articles, parse_stories
from flows.asknews.records import LONGEST_RAW
from tests.asknews.fakes import ARTICLE_ID, article


def rejected(**changes: Any) -> Reject:
    records, rejects = parse_articles([article(**changes)])
    assert not records
    return rejects[0]


@pytest.mark.parametrize("item", [None, "text", 3, [], True, [article()]])
def test_an_item_that_is_no_object_is_set_aside(item: object) -> None:
    records, rejects = parse_articles([item, article()])
    assert len(records) == 1
    assert rejects[0].reason == "the item is not an object"
    assert rejects[0].external_id is None


def test_a_reject_says_which_article_it_was_and_keeps_its_json() -> None:
    reject = rejected(pub_date="soon")
    assert (reject.kind, reject.external_id) == ("article", ARTICLE_ID)
    assert reject.reason == "pub_date is not an ISO 8601 date"
    assert '"pub_date": "soon"' in reject.raw


def test_a_reject_keeps_no_authors_and_no_full_text() -> None:
    reject = rejected(pub_date=None, full_text="everything", geo={"authors": ["x@news.example"]})
    assert "@news.example" not in reject.raw
    assert "everything" not in reject.raw


def test_a_rejects_json_is_cut_to_bytes_and_stays_text() -> None:
    reject = rejected(pub_date=None, article_id="\u6587" * 300, title="\u6587\ud800\0" * 100_000)
    assert len(reject.raw.encode()) <= LONGEST_RAW
    assert "\0" not in reject.raw + str(reject.external_id)
    assert len(str(reject.external_id)) == 200


def test_a_reason_is_short_however_many_faults_there_are() -> None:
    records, (reject,) = parse_stories([{"sentiment": 1, "sentiment_timestamps": 1, "reddit_sentiment": 1}])
    assert not records
    assert reject.reason.endswith("and 2 more")
    assert len(reject.reason) <= 500


def test_an_item_nested_without_end_is_set_aside() -> None:
    deep: list[Any] = []
    for _level in range(100_000):
        deep = [deep]
    reject = rejected(pub_date=None, extra=deep)
    assert "pub_date" in reject.reason
    assert "nested too deeply" in reject.raw
