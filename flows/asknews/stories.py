"""Stories with their sentiment over time, as far as they are stored: no names and no writings of Reddit users."""

# pydantic copies mutable defaults.
# ruff: noqa: RUF012

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from flows.asknews import fields
from flows.asknews.records import Record, Reject, parse_items

# What AskNews sends as the topic where it has none.
PLACEHOLDER_TOPIC = "auto_generated"

T = TypeVar("T")

Moment = Annotated[datetime, BeforeValidator(fields.moment)]
Number = Annotated[float, BeforeValidator(fields.finite_number)]
Count = Annotated[int, BeforeValidator(fields.whole_number)]
Uuid = Annotated[UUID, BeforeValidator(fields.uuid)]
MaybeMoment = Annotated[datetime | None, BeforeValidator(fields.moment)]
MaybeNumber = Annotated[float | None, BeforeValidator(fields.finite_number_or_none)]
MaybeCount = Annotated[int | None, BeforeValidator(fields.whole_number)]
Labels = Annotated[list[str], fields.texts(200, 255)]
CountsByName = Annotated[dict[str, int], fields.counts(1_000, 255)]


class RedditThread(Record):
    """A Reddit thread about a story, without its author, texts and comments. `sentiment` 0 is neutral, None unknown."""

    thread_id: Annotated[str, fields.identifier(100)] = Field(validation_alias="id")
    url: Annotated[str, BeforeValidator(fields.web_address)]
    subreddit: Annotated[str, fields.text(255)] = Field(validation_alias="subreddit_name")
    published_at: MaybeMoment = Field(None, validation_alias="date")
    upvotes: MaybeCount = None
    comment_count: MaybeCount = Field(None, validation_alias="comments_count")
    sentiment: MaybeNumber = None


class StoryUpdate(Record):
    """One update of a story: what was known at `updated_at`."""

    update_id: Uuid = Field(validation_alias="uuid")
    updated_at: Moment = Field(validation_alias="story_update_ts")
    headline: Annotated[str, fields.text(1_000)] = ""
    summary: Annotated[str, fields.text(20_000)] = Field("", validation_alias="story")
    article_ids: list[Uuid] = []
    reddit_threads: list[RedditThread] = []


class SentimentPoint(BaseModel):
    """The press' sentiment at one moment, and AskNews' rolling mean of it, None where AskNews sends none."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    sentiment: float
    rolling: float | None = None


class RedditSentimentPoint(BaseModel):
    """Reddit's sentiment at one moment."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    sentiment: float


class Story(BaseModel):
    """One story. Times are aware UTC, both series are in order of time with one point a moment.

    `headline` is the first update's, `summary` the latest update's. `reddit_threads` and `article_ids` are those of all
    updates, each once, the latest update's first. Limits as for articles; `altered_fields` names, as AskNews does or as
    here, what was cut to its limit.
    """

    model_config = ConfigDict(frozen=True)

    story_id: UUID
    headline: str
    summary: str
    updated_at: datetime
    categories: list[str]
    keywords: list[str]
    people: list[str]
    topics: list[str]
    countries: dict[str, int]
    languages: dict[str, int]
    sources: dict[str, int]
    article_count: int
    update_count: int
    updates: list[StoryUpdate]
    sentiment: list[SentimentPoint]
    reddit_sentiment: list[RedditSentimentPoint]
    reddit_threads: list[RedditThread]
    article_ids: list[UUID]
    altered_fields: tuple[str, ...] = ()


class _WireStory(Record):
    """A story as AskNews sends it, with every value checked, but not yet put together."""

    uuid: Uuid
    topic: Annotated[str, fields.text(1_000)] = ""
    topics: Labels = []
    categories: Labels = []
    keywords: Labels = []
    people: Labels = []
    countries: CountsByName = {}
    languages: CountsByName = {}
    sources: CountsByName = {}
    # One number for each update.
    n_articles: Annotated[list[Count], BeforeValidator(fields.one_or_more)] = []
    n_updates: Count = 0
    updated_ts: Moment
    updates: list[StoryUpdate] = []
    sentiment: list[Number] = []
    sentiment_timestamps: list[Moment] = []
    rolling_sentiment: list[MaybeNumber] | None = None
    reddit_sentiment: list[Number] = []
    reddit_sentiment_timestamps: list[Moment] = []

    def assemble(self, altered_fields: Iterable[str]) -> Story:
        """The story. Raises ValueError if parallel arrays differ in length, or if it has no headline."""
        latest_first = sorted(self.updates, key=lambda update: update.updated_at, reverse=True)
        threads = [thread for update in latest_first for thread in update.reddit_threads]
        return Story(
            story_id=self.uuid,
            headline=self._headline(),
            summary=next((update.summary for update in latest_first if update.summary), ""),
            updated_at=self.updated_ts,
            categories=self.categories,
            keywords=self.keywords,
            people=self.people,
            topics=self.topics,
            countries=self.countries,
            languages=self.languages,
            sources=self.sources,
            article_count=fields.whole_number(sum(self.n_articles)),
            update_count=self.n_updates,
            updates=self.updates,
            sentiment=self._press_series(),
            reddit_sentiment=self._reddit_series(),
            reddit_threads=list({thread.thread_id: thread for thread in reversed(threads)}.values())[::-1],
            article_ids=list(dict.fromkeys(id_ for update in latest_first for id_ in update.article_ids)),
            altered_fields=tuple(sorted(altered_fields)),
        )

    def _headline(self) -> str:
        for update in self.updates:
            if update.headline:
                return update.headline
        if self.topic and self.topic.lower() != PLACEHOLDER_TOPIC:
            return self.topic
        raise ValueError("has no headline: no update has one, and the topic is missing or a placeholder")

    def _press_series(self) -> list[SentimentPoint]:
        # Rolling values are an extra: none at all is a series without them, some but not all is a mismatch.
        rolling = self.rolling_sentiment if self.rolling_sentiment is not None else [None] * len(self.sentiment)
        _require_equal_lengths(
            sentiment_timestamps=self.sentiment_timestamps, sentiment=self.sentiment, rolling_sentiment=rolling
        )
        triples = zip(self.sentiment_timestamps, self.sentiment, rolling, strict=True)
        return _one_a_moment((at, SentimentPoint(at=at, sentiment=value, rolling=mean)) for at, value, mean in triples)

    def _reddit_series(self) -> list[RedditSentimentPoint]:
        _require_equal_lengths(
            reddit_sentiment_timestamps=self.reddit_sentiment_timestamps, reddit_sentiment=self.reddit_sentiment
        )
        pairs = zip(self.reddit_sentiment_timestamps, self.reddit_sentiment, strict=True)
        return _one_a_moment((at, RedditSentimentPoint(at=at, sentiment=value)) for at, value in pairs)


def parse_stories(items: Sequence[object]) -> tuple[list[Story], list[Reject]]:
    """Stories and rejects of one response's items, together exactly as many as `items`. Raises nothing."""
    return parse_items(items, _parse_story, kind="story", id_field="uuid")


def _parse_story(item: object) -> Story:
    altered: set[str] = set()
    return _WireStory.model_validate(item, context=altered).assemble(altered)


def _require_equal_lengths(**arrays: Sequence[object]) -> None:
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise ValueError(f"has parallel arrays of unequal length: {lengths}")


def _one_a_moment(points: Iterable[tuple[datetime, T]]) -> list[T]:
    """In order of time. Of two points at one moment the later in the array stays: moments are the series' key."""
    by_moment = dict(points)
    return [by_moment[at] for at in sorted(by_moment)]
