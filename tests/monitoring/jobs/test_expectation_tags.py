"""What a deployment's tags say of a job, and what becomes of tags that are wrong."""

import re
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flows.monitoring
from flows.monitoring.jobs.expectation_tags import NO_TAGS, Expectations, expectation_tags, from_json, parse_tags


def test_each_word_is_read() -> None:
    tags = ["within=30m", "stale_after=1h30m", "duration=90s", "failing_after=2", "owner=data", "severity=low"]
    assert parse_tags([*tags, "monitored", "team=x", "withinn=3"]) == Expectations(
        within=1_800, stale_after=5_400, duration=90, failing_after=2, owner="data", severity="low"
    )


@pytest.mark.parametrize(
    "tag",
    [
        "within=",
        "within=30",
        "within=-5m",
        "within=0s",
        "within=1e9h",
        "within=99999999999999w",
        "stale_after=soon",
        "duration=½h",
        "failing_after=0",
        "failing_after=two",
        "failing_after=²",
        "failing_after=99999999999",
        "owner=",
        "owner=" + "x" * 101,
        "severity=medium",
    ],
)
def test_a_wrong_tag_is_named_and_does_not_count(tag: str) -> None:
    read = parse_tags([tag, "duration=20m"] if not tag.startswith("duration") else [tag])
    assert len(read.wrong) == 1
    assert read.wrong[0].startswith(f"{tag}: ")
    assert getattr(read, tag.partition("=")[0]) is None
    assert read.duration == (None if tag.startswith("duration") else 1_200)


def test_contradicting_tags_are_named_and_do_not_count() -> None:
    read = parse_tags(["within=30m", "within=1h", "within=30m"])
    assert (read.within, read.wrong) == (None, ("within is given 2 times: 1h, 30m",))


WORDS = st.sampled_from(["within", "stale_after", "duration", "failing_after", "owner", "severity", "other"])
TAGS = st.one_of(st.text(max_size=20), st.builds("{}={}".format, WORDS, st.text(max_size=12)))


@given(st.lists(TAGS, max_size=8))
def test_no_tag_breaks_the_reading_and_what_is_read_is_stored(tags: list[str]) -> None:
    read = parse_tags(tags)
    assert from_json(read.as_json()) == read
    assert from_json(None) == NO_TAGS


lengths = st.none() | st.integers(1, 10 * 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@given(lengths, lengths, lengths, st.none() | st.integers(1, 1_000), st.none() | st.sampled_from(["low", "high"]))
def test_what_is_said_in_python_is_read_from_the_tags(
    within: timedelta | None,
    stale_after: timedelta | None,
    duration: timedelta | None,
    failing_after: int | None,
    severity: Literal["low", "high"] | None,
) -> None:
    tags = expectation_tags(
        within=within,
        stale_after=stale_after,
        duration=duration,
        failing_after=failing_after,
        owner="data",
        severity=severity,
    )
    read = parse_tags(["monitored", *tags])
    seconds = [None if each is None else each.total_seconds() for each in (within, stale_after, duration)]
    assert [read.within, read.stale_after, read.duration] == seconds
    assert (read.failing_after, read.owner, read.severity, read.wrong) == (failing_after, "data", severity, ())


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"within": timedelta(0)}, "within=0s"),
        ({"duration": timedelta(seconds=1.5)}, "duration=1.5s"),
        ({"stale_after": timedelta(days=-1)}, "stale_after=-86400s"),
        ({"failing_after": 0}, "failing_after=0"),
        ({"owner": ""}, "owner="),
    ],
)
def test_what_no_tag_can_say_is_refused_where_it_is_said(said: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        expectation_tags(**said)


def test_the_public_names_are_there() -> None:
    assert all(callable(getattr(flows.monitoring, name)) or name == "MisfireGrace" for name in flows.monitoring.__all__)
    assert flows.monitoring.expectation_tags(within=timedelta(minutes=90)) == ["within=1h30m"]
