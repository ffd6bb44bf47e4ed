"""Which tracked entities a text mentions. Pure."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import accumulate
from typing import NamedTuple

from flows.entities.folding import fold, is_word, split_words
from flows.entities.tracked import TrackedEntity, phrase_of

# How far a context word may stand from an ambiguous name: it is at most the 12th word before or after it, about a
# sentence. Punctuation does not count; a character of a script without spaces counts as a word.
NEAR_WORDS = 12

# What "#" stands for: 3, 3.1, 70b, 8x7b. Not a year, not 4o.
_VERSION = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})*|[0-9]{1,3}(?:x[0-9]{1,3})?b")
_GLUED_VERSION = re.compile(r"([^\W\d_]+)([0-9].*)")
# Keys that no word or punctuation of a text can equal.
_PLACEHOLDERS = {"#": "<version>", "#.#": "<dotted version>"}

# Words and punctuation in a person's full name; a longer entry is a recogniser's mistake, and the search is recursive.
_LONGEST_FULL_NAME = 12


class _Role(Enum):
    """What a phrase, once read, means to an entity."""

    CERTAIN = auto()
    AMBIGUOUS = auto()
    CONTEXT = auto()
    CAPITALISED_CONTEXT = auto()
    EXCLUDE = auto()
    NOT_NEAR = auto()


_CONTEXTS = (_Role.CONTEXT, _Role.CAPITALISED_CONTEXT)


class _Span(NamedTuple):
    """Where a phrase stands: its first and last entry in the list of words and punctuation."""

    first: int
    last: int


class _Mark(NamedTuple):
    """That the phrase that ends here plays `role` for `entity`; `in_capitals` if only when written so."""

    entity: str
    role: _Role
    in_capitals: bool


@dataclass(slots=True)
class _Node:
    """One step in the tree of all phrases: where the next word leads, and what it means to have come this far."""

    following: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    marks: list[_Mark] = field(default_factory=list[_Mark])

    def add(self, phrase: Sequence[str], mark: _Mark) -> None:
        node = self
        for word in phrase:
            node = node.following.setdefault(_PLACEHOLDERS.get(word.strip(), word), _Node())
        node.marks.append(mark)

    def after(self, word: str) -> "Iterator[_Node]":
        """Where `word` leads: to its own node, and to that of a version if it looks like one."""
        keys = [word]
        if "0" <= word[0] <= "9" and _VERSION.fullmatch(word):
            keys += _PLACEHOLDERS.values() if "." in word else [_PLACEHOLDERS["#"]]
        for key in keys:
            node = self.following.get(key)
            if node is not None:
                yield node


_Hits = Mapping[str, Mapping[_Role, Sequence[_Span]]]


class _Words:
    """A text as words and punctuation: as written, folded, and numbered."""

    def __init__(self, text: str) -> None:
        self.written = split_words(text)
        self.folded = [fold(token) for token in self.written]
        # The n-th word of the text, for each entry; punctuation shares the number of the word before it.
        self.place = list(accumulate(map(is_word, self.written)))

    def find(self, tree: _Node) -> _Hits:
        """Every phrase of `tree` that stands in the text, in one pass: by entity and role, in the text's order."""
        hits: defaultdict[str, defaultdict[_Role, list[_Span]]] = defaultdict(lambda: defaultdict(list))
        for first, token in enumerate(self.folded):
            node = tree.following.get(token)
            if node is not None:
                self._follow(node, first, first, hits)
            elif not token.isalpha() and (glued := _GLUED_VERSION.fullmatch(token)):
                for start in tree.after(glued[1]):
                    for version in start.after(glued[2]):
                        self._follow(version, first, first, hits)
        return hits

    def _follow(
        self, node: _Node, first: int, last: int, hits: defaultdict[str, defaultdict[_Role, list[_Span]]]
    ) -> None:
        """Note what ends at `node` and go on: as deep as the longest phrase has words."""
        for mark in node.marks:
            if not mark.in_capitals or self.written[first].isupper():
                hits[mark.entity][mark.role].append(_Span(first, last))
        if last + 1 < len(self.folded):
            for following in node.after(self.folded[last + 1]):
                self._follow(following, first, last + 1, hits)

    def capitalised(self, span: _Span) -> bool:
        """Whether each word of `span` begins with a capital, or with what has no case."""
        return not any(self.written[position][0].islower() for position in range(span.first, span.last + 1))


class _Nearby:
    """Where words stand that bear on the names near them. Each question takes logarithmic time."""

    def __init__(self, words: _Words, spans: Sequence[_Span]) -> None:
        self._place = words.place
        self._starts = sorted(self._place[span.first] for span in spans)
        self._ends = sorted(self._place[span.last] for span in spans)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def near(self, name: _Span) -> bool:
        """Whether one of the words stands wholly before or wholly after `name`, within NEAR_WORDS."""
        first, last = self._place[name.first], self._place[name.last]
        return _any_between(self._ends, first - NEAR_WORDS, first - 1) or _any_between(
            self._starts, last + 1, last + NEAR_WORDS
        )


def _any_between(places: Sequence[int], low: int, high: int) -> bool:
    index = bisect_left(places, low)
    return index < len(places) and places[index] <= high


class _Voids:
    """Phrases within which a name is no mention: "Claude" in "Claude Monet"."""

    def __init__(self, spans: Iterable[_Span]) -> None:
        self._furthest: dict[int, int] = {}
        self._longest = 0
        for span in spans:
            self._furthest[span.first] = max(span.last, self._furthest.get(span.first, span.last))
            self._longest = max(self._longest, span.last - span.first)

    def cover(self, name: _Span) -> bool:
        return any(
            self._furthest.get(first, -1) >= name.last for first in range(name.first - self._longest, name.first + 1)
        )


class EntityMatcher:
    """Says which of `entities` a text mentions. Made once and used for many texts; safe to share between threads."""

    def __init__(self, entities: Iterable[TrackedEntity]) -> None:
        self._tree = _Node()
        # By phrase, whose canonical name is ambiguous; and which names are common words unless they have a capital.
        self._ambiguous_names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._common_words: set[str] = set()
        for entity in entities:
            for role, phrases in _roles(entity).items():
                for phrase in phrases:
                    in_capitals = role in _CONTEXTS and len(phrase) == 2 and phrase.isupper()
                    self._tree.add(phrase_of(phrase), _Mark(entity.name, role, in_capitals))
            if phrase_of(entity.name) in map(phrase_of, entity.ambiguous):
                self._ambiguous_names[phrase_of(entity.name)] = (entity.name,)
            if entity.capitalised_context:
                self._common_words.add(entity.name)

    def mentioned(self, text: str, evidence: Iterable[str] = (), people: Iterable[str] = ()) -> tuple[str, ...]:
        """The canonical names of all entities that `text` mentions, sorted. Time is linear in the text; never raises.

        1. A certain name counts wherever it stands as whole words, unless inside an excluding phrase.
        2. An ambiguous name counts where a context word stands near (`NEAR_WORDS`), no word of `not_near` does, and it
           stands neither inside an excluding phrase nor inside the full name of one of `people`.
        3. A name in `evidence` is read like a short text. If it is just an ambiguous canonical name ("Claude"), it
           takes the place of the context word: the entity counts unless everything in the text speaks against it.

        evidence: names that AskNews recognised in the article. Pass those of the types `Product`, `Technology` and
            `Organization`, and of no other: the `Person` Claude, a `Location`, an `Event` are something else.
        people: the names of the type `Person`; only those of two words or more say anything ("Claude Dupont").
        """
        found: set[str] = set()
        named: set[str] = set()
        for name in evidence:
            words = _Words(name)
            found.update(self._mentions(words, frozenset(), ()))
            named.update(self._ambiguous_names.get(tuple(filter(is_word, words.folded)), ()))
        found.update(self._mentions(_Words(text), named, people))
        return tuple(sorted(found))

    def _mentions(self, words: _Words, named: Set[str], people: Iterable[str]) -> Iterator[str]:
        """The entities that `words` mention, given those that the evidence has named."""
        found = words.find(self._tree)
        full_names = _Voids(_full_names(words, people) if found else ())
        for entity in found.keys() | named:
            hits = found.get(entity, {})
            excludes = _Voids(hits.get(_Role.EXCLUDE, ()))
            if any(not excludes.cover(span) for span in hits.get(_Role.CERTAIN, ())):
                yield entity
                continue
            candidates = hits.get(_Role.AMBIGUOUS, ())
            against = _Nearby(words, hits.get(_Role.NOT_NEAR, ()))
            if not candidates:
                # Nothing but the evidence: the article's full text, which was not passed, may hold the name.
                if entity in named and not against:
                    yield entity
                continue
            context = _Nearby(words, hits.get(_Role.CONTEXT, ()))
            context_of_capitalised = _Nearby(words, hits.get(_Role.CAPITALISED_CONTEXT, ()))
            for span in candidates:
                if excludes.cover(span) or full_names.cover(span) or against.near(span):
                    continue
                as_name = entity not in self._common_words or words.capitalised(span)
                if context.near(span) or (as_name and (entity in named or context_of_capitalised.near(span))):
                    yield entity
                    break


def _roles(entity: TrackedEntity) -> dict[_Role, tuple[str, ...]]:
    return {
        _Role.CERTAIN: entity.aliases,
        _Role.AMBIGUOUS: entity.ambiguous,
        _Role.CONTEXT: entity.context,
        _Role.CAPITALISED_CONTEXT: entity.capitalised_context,
        _Role.EXCLUDE: entity.excludes,
        _Role.NOT_NEAR: entity.not_near,
    }


def _full_names(words: _Words, people: Iterable[str]) -> list[_Span]:
    """Where the names in `people` stand that have two words or more, and not so many that they are no name."""
    tree = _Node()
    for name in people:
        phrase = phrase_of(name)
        if sum(map(is_word, phrase)) > 1 and len(phrase) <= _LONGEST_FULL_NAME:
            tree.add(phrase, _Mark("", _Role.EXCLUDE, in_capitals=False))
    return [span for roles in words.find(tree).values() for spans in roles.values() for span in spans]
