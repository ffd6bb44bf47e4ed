"""Recognising that a name is a person's, where nobody has said so. Pure.

A name that is both a product's and a given name ("Claude") is taken for a person's where it stands

1. before a surname: a capitalised word that is not known to go with the product, in running text (in a headline whose
   every word is capitalised, that says nothing);
2. after a title or a word of kinship ("uncle Claude"), or after "my", "his" and the like with "friend" ("my friend");
3. before an age ("Claude, 74,") or an apposition of that kind ("Claude, my uncle").
"""

import re
from collections.abc import Collection, Iterable, Sequence

from flows.entities.folding import fold, is_word, split_words
from flows.entities.phrases import Hit, Words


def _words(text: str) -> frozenset[str]:
    # Words alone: a line break before a name does not make it a relative's.
    return frozenset(filter(is_word, fold(split_words(text))))


_KIN = _words("""
    uncle aunt auntie cousin nephew niece brother sister father mother grandfather grandmother grandpa grandma granddad
    grandson granddaughter dad daddy mum mom son daughter husband wife widow widower
    oncle tante frère sœur père mère cousine neveu nièce mari femme fils fille papa papi papy mamie
    onkel bruder schwester vater mutter opa oma sohn tochter
    tío tía hermano hermana padre madre abuelo abuela primo prima zio zia nonno nonna fratello sorella
    tio tia irmão irmã avô avó
""")
# Only where they are capitalised: "Miss Claude", and not "don't miss Claude".
_TITLES = _words("""
    mr mrs ms miss mister dr prof professor sir m monsieur madame mademoiselle mme mlle herr frau señor señora don doña
""")
_FRIENDS = _words("""
    friend neighbour neighbor boss teacher roommate classmate boyfriend girlfriend fiancé fiancée ami amie freund
    freundin amigo amiga amico amica
""")
_OWNERS = _words("""
    my his her our their your mon ma ton ta son sa notre votre leur mein meine sein seine ihr ihre mi tu su mio mia suo
    sua meu minha seu
""")
# What may stand between a given name and a surname.
_PARTICLES = r"[A-Z]\.|de|du|des|van|von|der|den|di|da|dos|la|le|el|al|bin|ben"
_WORD = r"[^\W\d_]+(?:['-][^\W\d_]+)*"
# Capitalised in English, and not a surname: "Anthropic updated Claude Tuesday".
_CALENDAR = _words("""
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
    october november december
""")
# Left in small letters also in a headline that capitalises the rest.
_SMALL = _words("from into onto over than that this upon with without what when your avec dans pour")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_AGE = re.compile(r"[1-9][0-9]")
_SENTENCE_END = re.compile(r"[.!?\n]")
# Characters on either side that are looked at.
_LONGEST_SENTENCE = 300


class PeopleFinder:
    """Finds persons who bear one of `names` (as written, such as "Claude").

    `known` are folded words that follow a name without being a surname: those of the product's own surroundings.
    """

    def __init__(self, names: Iterable[str], known: Collection[str]) -> None:
        names = tuple(names)
        self._known = _CALENDAR.union(known)
        self._names = frozenset(word for name in names for word in fold(split_words(name)))
        name = rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)"
        self._full_name = re.compile(rf"{name}(?:[ \t]+(?:{_PARTICLES}))*[ \t]+(?P<surname>{_WORD})")

    def full_names(self, text: str) -> set[str]:
        """Return the names with a surname in `text`, which must be in normal form."""
        return {
            found[0]
            for found in self._full_name.finditer(text)
            if self._is_surname(found["surname"]) and _is_running(text, found)
        }

    def is_among(self, people: Iterable[Sequence[str]]) -> bool:
        """Return whether one of `people`, folded full names, bears the name, and is not the product by mistake."""
        return any(not self._names.isdisjoint(person) and not self._known.issuperset(person) for person in people)

    def _is_surname(self, word: str) -> bool:
        is_capitalised = word[0].isupper() and word[1:2].islower()
        return is_capitalised and self._known.isdisjoint(fold(split_words(word)))


def persons_among(words: Words, names: Sequence[Hit]) -> set[Hit]:
    """Return those of `names` that are a person's by what stands right before or after them."""
    return {name for name in names if _is_introduced(words, name) or _is_explained(words, name)}


def _is_introduced(words: Words, name: Hit) -> bool:
    before = [word for word in words.folded[max(name.first - 4, 0) : name.first] if word.strip() != "."]
    if not before:
        return False
    written = words.written[name.first - 1 if words.folded[name.first - 1].strip() != "." else name.first - 2]
    return (
        before[-1] in _KIN
        or (before[-1] in _TITLES and written[0].isupper())
        or (before[-1] in _FRIENDS and not _OWNERS.isdisjoint(before[-3:-1]))
    )


def _is_explained(words: Words, name: Hit) -> bool:
    after = [word.strip() for word in words.folded[name.last + 1 : name.last + 7]]
    if len(after) < 3 or after[0] not in {",", "("}:
        return False
    rest = after[2:] if after[1] == "aged" else after[1:]
    if _AGE.fullmatch(rest[0]) and rest[1:2] and rest[1][0] in ",)":
        return True
    return rest[0] in _OWNERS and not (_KIN | _FRIENDS).isdisjoint(rest[1:4])


def _is_running(text: str, found: re.Match[str]) -> bool:
    """Whether the sentence around `found` is written as prose and not as a headline in capitals."""
    before = _SENTENCE_END.split(text[max(found.start() - _LONGEST_SENTENCE, 0) : found.start()])[-1]
    after = _SENTENCE_END.split(text[found.end() : found.end() + _LONGEST_SENTENCE], maxsplit=1)[0]
    around = _LONG_WORD.findall(before) + _LONG_WORD.findall(after)
    small = sum(word[0].islower() and word not in _SMALL for word in around)
    return small > 0 and 2 * small >= sum(word[0].isupper() for word in around)
