"""What stands around a name: words that bear on it, phrases and persons' names that it is only a part of. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set

from flows.entities.folding import is_word
from flows.entities.phrases import Hit, Words

# How far a context word may stand from an ambiguous name: it is at most the 12th word before or after it, about a
# sentence. Punctuation does not count; two characters of a script without spaces count as a word.
NEAR_WORDS = 12
_NEAR_HALF_WORDS = 2 * NEAR_WORDS

# Words and punctuation in a person's full name; a longer entry is a recogniser's mistake.
_LONGEST_FULL_NAME = 12

Phrase = tuple[str, ...]


class Around:
    """Where words stand that bear on the names near them. A question takes as long as there are such words near."""

    def __init__(self, words: Words, hits: Sequence[Hit], longest: int) -> None:
        self._places = words.places if hits else []
        self._hits = hits
        self._starts = [self._places[hit.first] for hit in hits]
        self._reach = _NEAR_HALF_WORDS + 2 * longest

    def near(self, name: Hit, numbers: Set[int]) -> bool:
        """Return whether a phrase with one of these numbers stands wholly before or after `name`, within NEAR_WORDS."""
        if not self._hits or not numbers:
            return False
        first, last = self._places[name.first], self._places[name.last]
        for index in range(bisect_left(self._starts, first - self._reach), len(self._hits)):
            start = self._starts[index]
            if start > last + _NEAR_HALF_WORDS:
                break
            hit = self._hits[index]
            if hit.number in numbers and (start > last or first - _NEAR_HALF_WORDS <= self._places[hit.last] < first):
                return True
        return False

    def any(self, numbers: Set[int]) -> bool:
        """Return whether one of the phrases with these numbers stands anywhere."""
        return any(hit.number in numbers for hit in self._hits)


class Voids:
    """Phrases within which a name is not a mention: "Claude" in "Claude Monet"."""

    def __init__(self, hits: Iterable[Hit], longest: int) -> None:
        self._by_first: defaultdict[int, list[Hit]] = defaultdict(list)
        for hit in hits:
            self._by_first[hit.first].append(hit)
        self._longest = longest

    def cover(self, name: Hit, numbers: Set[int]) -> bool:
        """Return whether one of the phrases with these numbers stands around `name`."""
        return bool(self._by_first) and any(
            hit.last >= name.last and hit.number in numbers
            for first in range(name.first - self._longest, name.first + 1)
            for hit in self._by_first.get(first, ())
        )


class FullNames:
    """Persons' names of two words or more, as phrases, within which an ambiguous name is not a mention."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        self.phrases = {
            phrase for phrase in phrases if sum(map(is_word, phrase)) > 1 and len(phrase) <= _LONGEST_FULL_NAME
        }
        # How far before a name such a phrase may begin, and how long it is.
        self._shapes = {(before, len(phrase)) for phrase in self.phrases for before in range(len(phrase))}

    def cover(self, words: Words, name: Hit) -> bool:
        """Return whether one of them stands around `name`. The time is bounded, however many there are."""
        return any(
            name.first >= before
            and name.last - name.first + before < length
            and tuple(words.folded[name.first - before : name.first - before + length]) in self.phrases
            for before, length in self._shapes
        )
