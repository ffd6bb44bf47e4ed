"""Writes the article that belongs to a stamp: text, publisher, sentiment, and all fields that AskNews sends."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from deployments.sandbox.article_fields import Text, article_payload
from deployments.sandbox.content_files import (
    TONE_NAMES,
    Content,
    Evidence,
    Outlet,
    Scenario,
    Subject,
    Trap,
    load_content,
)
from deployments.sandbox.draw import Draw
from deployments.sandbox.timeline import Stamp
from deployments.sandbox.writing import choose_words, slug, write

_SHARE_OF_TRAPS = 0.15
_SHARE_OF_BACKGROUND = 0.05
_SHARE_OF_DOUBLES = 0.16


@dataclass(frozen=True, slots=True)
class Article:
    """An article as it is searched and sent. `mentions` is the truth: the tracked entities it is about, sorted."""

    stamp: Stamp
    payload: dict[str, object]
    mentions: tuple[str, ...]
    # Title, summary, key points, keywords and full text, in small letters: where a search for strings looks.
    searched: str
    entities: Evidence
    categories: tuple[str, ...]
    outlet: Outlet


@lru_cache(maxsize=1)
def shared_newsroom() -> "Newsroom":
    """Return the process's newsroom: an article follows from its stamp alone, so that all applications can share it."""
    return Newsroom(load_content())


class Newsroom:
    """Writes articles; each one is written once and then remembered."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.article = lru_cache(maxsize=20_000)(self._article)

    def _article(self, stamp: Stamp) -> Article:
        # A copy is the same article at the same address, found again by the crawler.
        original = stamp.index if stamp.copy_of is None else stamp.copy_of
        draw = Draw("article", stamp.slot, original)
        text = self._text(draw)
        day = datetime.fromtimestamp(stamp.published_at, UTC).strftime("%Y/%m/%d")
        place = f"{slug(text.english_title)}-{stamp.slot % 1_000_000}{original}"
        address = f"https://www.{text.outlet.domain}/{day}/{place}"
        searched = "\n".join(
            (text.title, text.english_title, text.summary, *text.key_points, *text.keywords, text.hidden)
        ).casefold()
        return Article(
            stamp=stamp,
            payload=article_payload(draw, stamp, text, address),
            mentions=text.mentions,
            searched=searched,
            entities=text.entities,
            categories=(text.classification,) if isinstance(text.classification, str) else text.classification,
            outlet=text.outlet,
        )

    def _text(self, draw: Draw) -> Text:
        kind = draw.fraction()
        if kind < _SHARE_OF_TRAPS:
            return self._trap_text(draw, draw.pick(self._content.traps))
        kind -= _SHARE_OF_TRAPS
        if kind < _SHARE_OF_BACKGROUND:
            return self._trap_text(draw, draw.pick(self._content.background))
        kind -= _SHARE_OF_BACKGROUND
        subject = draw.pick(self._content.subjects)
        if kind < _SHARE_OF_DOUBLES:
            return self._double_text(draw, subject)
        scenario = draw.pick(self._scenarios(subject.category, "any"))
        return self._scenario_text(draw, scenario, subject, None)

    def _double_text(self, draw: Draw, subject: Subject) -> Text:
        """News about `subject` and another one of its kind, or about a tool and the model in it."""
        subjects = self._content.subjects
        if draw.chance(0.5):
            other = draw.pick([one for one in subjects if one.category == subject.category and one is not subject])
            return self._scenario_text(draw, draw.pick(self._scenarios("rivals")), subject, other)
        partner = draw.pick([one for one in subjects if one.category != subject.category])
        tool, model = (subject, partner) if subject.category == "tool" else (partner, subject)
        return self._scenario_text(draw, draw.pick(self._scenarios("pairing")), tool, model)

    def _scenarios(self, *about: str) -> list[Scenario]:
        return [scenario for scenario in self._content.scenarios if scenario.about in about]

    def _scenario_text(self, draw: Draw, scenario: Scenario, subject: Subject, other: Subject | None) -> Text:
        words = choose_words(draw, self._content.fillers, subject, other)
        title = write(draw.pick(scenario.titles), words)
        lead = write(draw.pick(scenario.leads), words)
        details = [write(detail, words) for detail in draw.sample(scenario.details, 2)]
        tone = TONE_NAMES[scenario.sentiment]
        # Another voice, about the same place.
        closing_words = choose_words(draw, self._content.fillers, subject) | {"city": words["city"]}
        closing = write(draw.pick(self._content.fillers.closing[tone]), closing_words)
        outlet = draw.pick(self._content.outlets)
        native_titles = self._content.native_titles.get(outlet.language)
        entities: dict[str, tuple[str, ...]] = {}
        for one in (subject,) if other is None else (subject, other):
            entities = _merged(entities, one.evidence)
        text = " ".join((title, lead, *details, closing))
        return Text(
            title=title if native_titles is None else write(draw.pick(native_titles[tone]), words),
            english_title=title,
            summary=" ".join((lead, details[0], closing)),
            key_points=(lead, *details),
            hidden="",
            keywords=(subject.name, *((other.name,) if other else ()), *scenario.keywords),
            classification=scenario.classification,
            sentiment=scenario.sentiment,
            content_type=scenario.content_type,
            voice=scenario.voice,
            mentions=tuple(sorted({subject.name} | ({other.name} if other else set()))),
            entities=_merged(entities, self._named(text)),
            outlet=outlet,
        )

    def _trap_text(self, draw: Draw, trap: Trap) -> Text:
        words = choose_words(draw, self._content.fillers, None)
        number = draw.number(0, len(trap.titles) - 1)
        title = write(trap.titles[number], words)
        summary = write(trap.summary, words)
        return Text(
            title=title,
            english_title=write(trap.english_titles[number], words) if trap.english_titles else title,
            summary=summary,
            key_points=tuple(f"{sentence.rstrip('.')}." for sentence in summary.split(". ")[:2]),
            hidden=write(trap.hidden, words),
            keywords=(),
            classification=trap.classification,
            sentiment=trap.sentiment,
            content_type="news",
            voice="Objective",
            mentions=tuple(sorted(trap.mentions)),
            entities=_merged(trap.evidence, self._named(f"{title} {summary}")),
            outlet=draw.pick([outlet for outlet in self._content.outlets if outlet.language == trap.language]),
        )

    def _named(self, text: str) -> Evidence:
        """The invented people, places and companies that `text` names."""
        fillers = self._content.fillers
        pools = {
            "Person": fillers.analyst,
            "Organization": (*fillers.company, *fillers.firm),
            "Location": fillers.city,
        }
        return {kind: found for kind, pool in pools.items() if (found := tuple(name for name in pool if name in text))}


def _merged(first: Evidence, second: Evidence) -> dict[str, tuple[str, ...]]:
    return {kind: tuple(dict.fromkeys((*first.get(kind, ()), *second.get(kind, ())))) for kind in (*first, *second)}
