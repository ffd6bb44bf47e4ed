"""Finding many phrases in a text in one pass. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from flows.entities.folding import fold, half_words, normal_form, split_normal

# What "#" stands for: 3, 3.1, 70b, 8x7b. Not a year, not 4o.
_VERSION = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})*|[0-9]{1,3}(?:x[0-9]{1,3})?b")
_GLUED_VERSION = re.compile(r"([^\W\d_]+)([0-9].*)")
# Keys that no word or punctuation of a text can equal.
_ANY_VERSION, _DOTTED_VERSION = "<version>", "<dotted version>"
_PLACEHOLDERS = {"#": _ANY_VERSION, "#.#": _DOTTED_VERSION}


class Hit(NamedTuple):
    """That the phrase with this number stands here: from its first to its last entry among the text's words."""

    number: int
    first: int
    last: int


class Words:
    """A text as words and punctuation: as written, folded, and numbered."""

    def __init__(self, text: str) -> None:
        self.text = normal_form(text)
        self.written = split_normal(self.text)
        self.folded = fold(self.written)

    @cached_property
    def places(self) -> list[int]:
        """How far each entry is from the text's beginning, in half words; punctuation stands where the word before it
        does.
        """
        return list(accumulate(half_words(self.written)))

    def capitalised(self, name: Hit) -> bool:
        """Return whether each word of `name` begins with a capital, or with what has no case."""
        return not any(self.written[position][0].islower() for position in range(name.first, name.last + 1))


@dataclass(slots=True)
class _Node:
    """One step in the tree of all phrases: where the next word leads, and which phrases end here.

    A phrase comes with whether it counts only when it is written in capitals.
    """

    following: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    ending: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])


class PhraseTree:
    """Phrases with the numbers from 0 on that they were given, and the search for all of them at once.

    The search takes as long as the text has words: what it costs at one word is bounded by the length of the phrases
    and not by how many there are.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._numbers: dict[tuple[tuple[str, ...], bool], int] = {}
        self.longest = 0

    def add(self, phrase: Sequence[str], *, in_capitals: bool = False) -> int:
        """Add `phrase` (as `phrase_of` gives it), unless it is known, and return its number.

        "#" in it stands for a version, "#.#" for a dotted one.
        """
        key = (tuple(phrase), in_capitals)
        if (known := self._numbers.get(key)) is not None:
            return known
        number = self._numbers[key] = len(self._numbers)
        node = self._root
        for word in phrase:
            node = node.following.setdefault(_PLACEHOLDERS.get(word.strip(), word), _Node())
        node.ending.append((number, in_capitals))
        self.longest = max(self.longest, len(phrase))
        return number

    def find(self, words: Words) -> list[Hit]:
        """Return every phrase that stands in `words`, in the order of their first words."""
        hits: list[Hit] = []
        following = self._root.following
        for first, token in enumerate(words.folded):
            if token in following:
                _follow(following[token], first, first, words, hits)
            elif not token.isalpha() and token[0].isalpha() and (glued := _GLUED_VERSION.fullmatch(token)):
                for start in _after(self._root, glued[1]):
                    for version in _after(start, glued[2]):
                        _follow(version, first, first, words, hits)
        return hits


def _follow(node: _Node, first: int, last: int, words: Words, hits: list[Hit]) -> None:
    """Note what ends at `node` and go on: as deep as the longest phrase has words."""
    for number, in_capitals in node.ending:
        if not in_capitals or words.written[first].isupper():
            hits.append(Hit(number, first, last))
    if node.following and last + 1 < len(words.folded):
        for following in _after(node, words.folded[last + 1]):
            _follow(following, first, last + 1, words, hits)


def is_version(word: str) -> bool:
    """Return whether `word` is what "#" stands for."""
    return "0" <= word[0] <= "9" and _VERSION.fullmatch(word) is not None


def _after(node: _Node, word: str) -> Sequence[_Node]:
    """Where `word` leads: to its own node, and to that of a version if it looks like one."""
    own = node.following.get(word)
    if not is_version(word):
        return () if own is None else (own,)
    dotted = node.following.get(_DOTTED_VERSION) if "." in word else None
    return [each for each in (own, node.following.get(_ANY_VERSION), dotted) if each is not None]
