"""Which stories there are and how far each has come: when it began, its stages, and its sentiment hour by hour.

Each tracked entity has a sequence of stories, a new one every fourteen hours. A story goes through the stages of an
arc, is refreshed once an hour while it is alive, and stays as it is afterwards. Everything follows from the entity,
the story's number and the moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from uuid import UUID, uuid5

from deployments.sandbox.content_files import Arc, Content, Stage, Subject, Tone
from deployments.sandbox.draw import Draw
from deployments.sandbox.writing import choose_words, write

HOUR = 3600
PERIOD_SECONDS = 14 * HOUR
_LONGEST_JITTER_SECONDS = 6 * HOUR
_SHORTEST_GAP_SECONDS, _LONGEST_GAP_SECONDS = 3 * HOUR, 9 * HOUR
# How long a story is refreshed after its last stage.
_AFTERLIFE_SECONDS = 12 * HOUR
# A story cannot last longer: four gaps at most lie between its stages.
LONGEST_LIFE_SECONDS = 4 * _LONGEST_GAP_SECONDS + _AFTERLIFE_SECONDS + HOUR

# Points younger than this may still be revised.
PROVISIONAL_SECONDS = 3 * HOUR
_ROLLING_HOURS = 6
_SHARE_OF_HOMONYMS = 0.15

_STORY_IDS = UUID("0b9d9a1e-8a0f-5d0c-8f7a-3c9b51f0a2d4")


@dataclass(frozen=True, slots=True)
class Update:
    """A stage of a story that has been reached. `at` in Unix seconds."""

    update_id: UUID
    at: int
    tone: Tone
    headline: str
    story: str
    takeaway: str


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A story from its beginning to its end. `mentions` is the truth about it, sorted; times in Unix seconds.

    There is one object for each story, so that two are the same story only if they are the same object.
    """

    story_id: UUID
    subject: Subject
    arc: Arc
    mentions: tuple[str, ...]
    words: dict[str, str]
    updates: tuple[Update, ...]
    ends_at: int

    @property
    def starts_at(self) -> int:
        """The moment of the first update."""
        return self.updates[0].at

    def refreshed_at(self, now: int) -> int:
        """Return the latest moment, up to `now`, at which the story changed: an update, or its hourly refresh."""
        until = min(now, self.ends_at)
        minute = self.starts_at % HOUR
        latest_update = max(update.at for update in self.updates if update.at <= now)
        return max(latest_update, (until - minute) // HOUR * HOUR + minute)

    def updates_until(self, now: int) -> list[Update]:
        """Return the updates up to `now`, newest first, as AskNews sends them."""
        return [update for update in reversed(self.updates) if update.at <= now]


@dataclass(frozen=True, slots=True)
class Series:
    """Sentiment over time: one value for each moment (Unix seconds), oldest first."""

    at: list[int]
    values: list[int]
    rolling: list[float]


class Plots:
    """All stories' plots; each is written once and then remembered. Period 0 begins at `origin`, in Unix seconds."""

    def __init__(self, content: Content, origin: int = 0) -> None:
        self._content = content
        self._origin = origin
        self._plot = lru_cache(maxsize=4_000)(self._write_plot)

    def begun_between(self, start: int, end: int) -> Iterator[Plot]:
        """Yield stories that can have changed in the window: begun before its end, not over long before its start."""
        for position in range(len(self._content.subjects)):
            first = (start - self._origin - LONGEST_LIFE_SECONDS - _LONGEST_JITTER_SECONDS) // PERIOD_SECONDS
            for number in range(first, (end - self._origin) // PERIOD_SECONDS + 1):
                plot = self._plot(position, number)
                if plot.starts_at <= end:
                    yield plot

    def _write_plot(self, position: int, number: int) -> Plot:
        subject = self._content.subjects[position]
        draw = Draw("story", subject.name, number)
        arc = self._arc(draw, subject)
        other = None
        if arc.about == "rivals":
            rivals = [one for one in self._content.subjects if one.category == subject.category and one is not subject]
            other = draw.pick(rivals)
        words = choose_words(draw, self._content.fillers, subject, other)
        story_id = uuid5(_STORY_IDS, f"{subject.name}/{number}")
        at = self._origin + number * PERIOD_SECONDS + draw.number(0, _LONGEST_JITTER_SECONDS)
        updates: list[Update] = []
        for index, stage in enumerate(arc.stages):
            updates.append(_update(story_id, index, at, stage, words))
            at += draw.number(_SHORTEST_GAP_SECONDS, _LONGEST_GAP_SECONDS)
        named = () if arc.is_homonym else (subject.name,) if other is None else (subject.name, other.name)
        ends_at = updates[-1].at + _AFTERLIFE_SECONDS
        return Plot(story_id, subject, arc, tuple(sorted(named)), words, tuple(updates), ends_at)

    def _arc(self, draw: Draw, subject: Subject) -> Arc:
        homonyms = [arc for arc in self._content.arcs if arc.about == subject.name]
        if homonyms and draw.chance(_SHARE_OF_HOMONYMS):
            return draw.pick(homonyms)
        return draw.pick([arc for arc in self._content.arcs if arc.about in (subject.category, "any", "rivals")])


def _update(story_id: UUID, index: int, at: int, stage: Stage, words: dict[str, str]) -> Update:
    return Update(
        update_id=uuid5(story_id, str(index)),
        at=at,
        tone=stage.tone,
        headline=write(stage.headline, words),
        story=write(stage.story, words),
        takeaway=write(stage.takeaway, words),
    )


def press_sentiment(plot: Plot, now: int) -> Series:
    """Return the press' sentiment for each full hour since the beginning. The latest points are provisional."""
    refreshed_at = plot.refreshed_at(now)
    first = plot.starts_at // HOUR * HOUR
    moments = list(range(first, refreshed_at + 1, HOUR))
    values = [_press_value(plot, at, refreshed_at) for at in moments]
    rolling = [
        round(sum(recent) / len(recent), 3)
        for end in range(1, len(values) + 1)
        if (recent := values[max(0, end - _ROLLING_HOURS) : end])
    ]
    return Series(moments, values, rolling)


def _press_value(plot: Plot, at: int, refreshed_at: int) -> Tone:
    is_provisional = refreshed_at - at < PROVISIONAL_SECONDS
    draw = Draw("press", plot.story_id, at, "provisional" if is_provisional else "final")
    tone = max((update for update in plot.updates if update.at <= at + HOUR), key=lambda update: update.at).tone
    if draw.chance(0.6):
        return tone
    # `number` knows nothing of `Tone`, whose values are exactly these three.
    return cast("Tone", draw.number(-1, 1))


def reddit_sentiment(plot: Plot, now: int) -> tuple[list[int], list[float]]:
    """Return Reddit's sentiment: moments (Unix seconds, oldest first) two hours apart, and values from -1 to 1."""
    refreshed_at = plot.refreshed_at(now)
    first = plot.starts_at // HOUR * HOUR + HOUR // 2 + HOUR
    moments = list(range(first, refreshed_at + 1, 2 * HOUR))
    values: list[float] = []
    for at in moments:
        is_provisional = refreshed_at - at < PROVISIONAL_SECONDS
        draw = Draw("reddit", plot.story_id, at, "provisional" if is_provisional else "final")
        # One value in ten is exactly neutral: 0 is a value, not the lack of one.
        values.append(0.0 if draw.chance(0.1) else round(draw.number(-100, 100) / 100, 2))
    return moments, values
