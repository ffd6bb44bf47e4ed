"""Fills the gaps of the templates, and keeps the result readable."""

import re
from collections.abc import Mapping

from deployments.sandbox.content_files import Fillers, Subject
from deployments.sandbox.draw import Draw

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_ORDINALS = ("second", "third", "fourth", "fifth")
# `described` may end with a comma, which must not meet the sentence's own punctuation.
_STRAY_COMMA = re.compile(r",(?=[.,;:?!])")
# The first letter of each sentence, but not of names that are written small, such as v0.
_SENTENCE_START = re.compile(r"(^|[.!?]\"? )([a-z])(?![0-9])")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")


def choose_words(draw: Draw, fillers: Fillers, subject: Subject | None, other: Subject | None = None) -> dict[str, str]:
    """Choose one value for each gap that a template may have, the same throughout one text."""
    company, company2 = draw.sample(fillers.company, 2)
    city = draw.pick(fillers.city)
    team, sector, regulator = draw.pick(fillers.team), draw.pick(fillers.sector), draw.pick(fillers.regulator)
    words = {
        "company": company,
        "company2": company2,
        "city": city,
        "analyst": draw.pick(fillers.analyst),
        "firm": draw.pick(fillers.firm),
        "sector": sector,
        "sector_upper": capitalised(sector),
        "task": draw.pick(fillers.task),
        "project": draw.pick(fillers.project),
        "language": draw.pick(fillers.language),
        "team": team,
        "team_upper": capitalised(team),
        "event": draw.pick(fillers.event).format(city=city),
        "event_short": f"the forum in {city}",
        "regulator": regulator,
        "Regulator": capitalised(regulator),
        "university": draw.pick(fillers.university),
        "when": draw.pick(fillers.when),
        "when_day": draw.pick(_WEEKDAYS),
        "ordinal": draw.pick(_ORDINALS),
        "percent": str(draw.number(11, 68)),
        "percent2": str(draw.number(11, 48)),
        "small": str(draw.number(2, 9)),
        "days": str(draw.number(3, 45)),
        "count": f"{draw.number(12, 960) * 100:,}",
        "amount": f"${draw.number(4, 90) * 10} million",
        "amount2": f"${draw.number(11, 290) / 10:.1f} billion",
        "amount3": f"{draw.number(3, 90)},000 euros",
    }
    if subject is not None:
        words |= {
            "name": subject.name,
            "maker": subject.maker,
            "described": draw.pick(subject.described),
            "version": draw.pick(subject.versions),
        }
    if other is not None:
        words |= {"other": other.name, "other_maker": other.maker, "other_described": draw.pick(other.described)}
    return words


def write(template: str, words: Mapping[str, str]) -> str:
    """Fill the gaps of `template`. Raises KeyError for a gap that has no word."""
    text = _STRAY_COMMA.sub("", template.format_map(words))
    return _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def capitalised(text: str) -> str:
    """Return `text` with a capital at its beginning and the rest as it is."""
    return text[:1].upper() + text[1:]


def slug(text: str) -> str:
    """Turn `text` into a part of an address."""
    return _NOT_IN_SLUG.sub("-", text.lower()).strip("-")[:80]
