"""Stories with their sentiment over time, as far as they are stored: no names and no writings of Reddit users."""

# pydantic copies mutable defaults.
# ruff: noqa: RUF012

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from flows.asknews import collections, fields
from flows.asknews.addresses import reddit_address
from flows.asknews.records import Record, Reject, parse_items

# What AskNews sends as the topic where it has none.
PLACEHOLDER_TOPIC = "auto_generated"
_NEVER = datetime.min.replace(tzinfo=UTC)

T = TypeVar("T")

Moment = Annotated[datetime, BeforeValidator(fields.moment)]
Uuid = Annotated[UUID, BeforeValidator(fields.uuid)]
MaybeMoment = Annotated[datetime | None, fields.side(fields.moment)]
MaybeNumber = Annotated[float | None, fields.side(fields.finite_number)]
MaybeCount = Annotated[int | None, fields.side(fields.whole_number)]
Labels = Annotated[list[str], collections.texts(200, 255)]
CountsByName = Annotated[dict[str, int], collections.counts(1_000, 255)]


class RedditThread(Record):
    """A Reddit thread about a story, without its author, texts and comments. `sentiment` 0 is neutral, None unknown.

    It needs its id; an address that is unusable is empty.
    """

    thread_id: Annotated[str, fields.identifier(100)] = Field(validation_alias="id")
    url: Annotated[str, fields.side(reddit_address, "")] = ""
    subreddit: Annotated[str, fields.text(255)] = Field("", validation_alias="subreddit_name")
    published_at: MaybeMoment = Field(None, validation_alias="date")
    upvotes: MaybeCount = None
    comment_count: MaybeCount = Field(None, validation_alias="comments_count")
    sentiment: MaybeNumber = None


class StoryUpdate(Record):
    """One update of a story: what was known at `updated_at`, None if AskNews does not say when."""

    update_id: Annotated[UUID | None, fields.side(fields.uuid)] = Field(None, validation_alias="uuid")
    updated_at: MaybeMoment = Field(None, validation_alias="story_update_ts")
    headline: Annotated[str, fields.text(1_000)] = ""
    summary: Annotated[str, fields.text(20_000)] = Field("", validation_alias="story")
    article_ids: Annotated[list[UUID], collections.values(fields.uuid)] = []
    # By type, as an article's.
    entities: Annotated[dict[str, list[str]], collections.texts_by_type(64, 200, 200)] = {}
    reddit_threads: Annotated[list[RedditThread], collections.records(RedditThread)] = []


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
    updates, each once, the latest update's first. A story needs its id, its time, and series that can be paired; all
    else may be missing or odd, and each update, thread, id and point stands alone. Limits as for articles;
    `altered_fields` names, as AskNews does or as here, what was cut to its limit, or dropped because it was unusable.
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
    n_articles: Annotated[list[int], collections.values(fields.whole_number)] = []
    n_updates: Annotated[int, fields.side(fields.whole_number, 0)] = 0
    updated_ts: Moment
    updates: Annotated[list[StoryUpdate], collections.records(StoryUpdate)] = []
    # Their values are checked pair by pair.
    sentiment: list[Any] = []
    sentiment_timestamps: list[Any] = []
    rolling_sentiment: Annotated[list[Any] | None, fields.side(collections.array)] = None
    reddit_sentiment: list[Any] = []
    reddit_sentiment_timestamps: list[Any] = []

    def assemble(self, altered: set[str]) -> Story:
        """Return the story; add to `altered` what was unusable. Raises ValueError if parallel arrays do not pair."""
        latest_first = sorted(self.updates, key=lambda update: update.updated_at or _NEVER, reverse=True)
        threads = [thread for update in latest_first for thread in update.reddit_threads]
        return Story(
            story_id=self.uuid,
            headline=self._headline(altered),
            summary=next((update.summary for update in latest_first if update.summary), ""),
            updated_at=self.updated_ts,
            categories=self.categories,
            keywords=self.keywords,
            people=self.people,
            topics=self.topics,
            countries=self.countries,
            languages=self.languages,
            sources=self.sources,
            article_count=self._article_count(altered),
            update_count=self.n_updates,
            updates=self.updates,
            sentiment=self._press_series(altered),
            reddit_sentiment=self._reddit_series(altered),
            reddit_threads=list({thread.thread_id: thread for thread in reversed(threads)}.values())[::-1],
            article_ids=list(dict.fromkeys(id_ for update in latest_first for id_ in update.article_ids)),
            altered_fields=tuple(sorted(altered)),
        )

    def _headline(self, altered: set[str]) -> str:
        for update in self.updates:
            if update.headline:
                return update.headline
        if self.topic and self.topic.lower() != PLACEHOLDER_TOPIC:
            return self.topic
        altered.add("headline")
        return ""

    def _article_count(self, altered: set[str]) -> int:
        total = sum(self.n_articles)
        if total > fields.LARGEST_INTEGER:
            altered.add("n_articles")
            return 0
        return total

    def _press_series(self, altered: set[str]) -> list[SentimentPoint]:
        rolling = self.rolling_sentiment
        # Rolling values are an extra: where they cannot be paired, the series is one without them.
        if rolling is None or len(rolling) != len(self.sentiment):
            if rolling is not None:
                altered.add("rolling_sentiment")
            rolling = [None] * len(self.sentiment)
        pairs = _paired(
            altered, sentiment_timestamps=self.sentiment_timestamps, sentiment=self.sentiment, rolling_sentiment=rolling
        )
        return _one_a_moment((at, SentimentPoint(at=at, sentiment=value, rolling=mean)) for at, value, mean in pairs)

    def _reddit_series(self, altered: set[str]) -> list[RedditSentimentPoint]:
        pairs = _paired(
            altered,
            reddit_sentiment_timestamps=self.reddit_sentiment_timestamps,
            reddit_sentiment=self.reddit_sentiment,
        )
        return _one_a_moment((at, RedditSentimentPoint(at=at, sentiment=value)) for at, value, _mean in pairs)


def parse_stories(items: Sequence[object]) -> tuple[list[Story], list[Reject]]:
    """Return stories and rejects of one response's items, together exactly as many as `items`. Raises nothing."""
    return parse_items(items, _parse_story, kind="story", id_field="uuid")


def points_in(items: object) -> int:
    """Return how many points the series of an answer's `items` have, without making one."""
    given = cast(list[object], items) if isinstance(items, list) else []
    stories = [cast(Mapping[str, object], item) for item in given if isinstance(item, Mapping)]
    series = [story.get(name) for story in stories for name in ("sentiment", "reddit_sentiment")]
    return sum(len(cast(list[object], values)) for values in series if isinstance(values, list))


def _parse_story(item: object) -> Story:
    altered: set[str] = set()
    return _WireStory.model_validate(item, context=altered).assemble(altered)


def _paired(altered: set[str], **arrays: Sequence[object]) -> list[tuple[datetime, float, float | None]]:
    """Time, value and rolling value of each point of the parallel `arrays`, which come in this order, the third if any.

    A point whose time or value is unusable is left out, and so is an unusable rolling value; `altered` gets the array's
    name. Raises ValueError if the arrays differ in length, or if no point of them is usable.
    """
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise ValueError(f"has parallel arrays of unequal length: {lengths}")
    (times_name, times), (values_name, values), *extra = arrays.items()
    rolling_name, rolling = extra[0] if extra else ("", [None] * len(times))
    points: list[tuple[datetime, float, float | None]] = []
    for time, value, mean in zip(times, values, rolling, strict=True):
        at = _usable(fields.moment, time, times_name, altered)
        number = _usable(fields.finite_number, value, values_name, altered)
        if at is not None and number is not None:
            usable_mean = None if mean is None else _usable(fields.finite_number, mean, rolling_name, altered)
            points.append((at, number, usable_mean))
    if times and not points:
        raise ValueError(f"has no usable pair in {times_name} and {values_name}")
    return points


def _usable(validate: Callable[[object], T], value: object, name: str, altered: set[str]) -> T | None:
    try:
        return validate(value)
    except ValueError:
        altered.add(name)
        return None


def _one_a_moment(points: Iterable[tuple[datetime, T]]) -> list[T]:
    """In order of time. Of two points at one moment the later in the array stays: moments are the series' key."""
    by_moment = dict(points)
    return [by_moment[at] for at in sorted(by_moment)]
