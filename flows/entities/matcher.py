"""Which tracked entities a text mentions. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from flows.entities.folding import is_word
from flows.entities.people import PeopleFinder, persons_among
from flows.entities.phrases import Hit, PhraseTree, Words, is_version
from flows.entities.surroundings import Around, FullNames, Phrase, Voids
from flows.entities.tracked import TrackedEntity, phrase_of

# AskNews' entity lists in which a model or tool may be named.
EVIDENCE_TYPES = ("Product", "Technology", "Organization")


@dataclass(frozen=True, eq=False)
class _Rules:
    """What phrases mean to one entity, by their numbers in the tree."""

    name: str
    excludes: frozenset[int]
    not_near: frozenset[int]
    context: frozenset[int]
    capitalised_context: frozenset[int]
    # In place of both contexts, where the text also has a person of that name.
    given_name_context: frozenset[int]
    people: PeopleFinder | None


@dataclass(slots=True)
class _Meaning:
    """What a phrase means: whose certain and whose ambiguous name it is, and whether it bears on names."""

    certain: list[_Rules] = field(default_factory=list[_Rules])
    ambiguous: list[_Rules] = field(default_factory=list[_Rules])
    is_around: bool = False
    excludes: bool = False


@dataclass(frozen=True)
class _Text:
    """One text, with what stands in it and what AskNews has recognised in it, as phrases."""

    words: Words
    around: Around
    people: FullNames
    products: Set[Phrase]


class EntityMatcher:
    """Says which of `entities` a text mentions. Made once and used for many texts; safe to share between threads."""

    def __init__(self, entities: Iterable[TrackedEntity]) -> None:
        entities = tuple(entities)
        self._tree = PhraseTree()
        self._meanings: defaultdict[int, _Meaning] = defaultdict(_Meaning)
        # By phrase, whose canonical name is ambiguous.
        self._ambiguous_names: dict[Phrase, _Rules] = {}
        names = {
            word for entity in entities for name in (*entity.aliases, *entity.ambiguous) for word in phrase_of(name)
        }
        for entity in entities:
            rules = self._add(entity, names)
            if phrase_of(entity.name) in map(phrase_of, entity.ambiguous):
                self._ambiguous_names[phrase_of(entity.name)] = rules

    def mentioned(self, text: str, evidence: Iterable[str] = (), people: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the canonical names of all entities that `text` mentions, sorted. Takes linear time; never raises.

        1. A certain name counts wherever it stands as whole words, unless inside an excluding phrase.
        2. An ambiguous name counts where a context word stands near (`NEAR_WORDS`), no word of `not_near` does, and it
           stands neither inside an excluding phrase nor inside a person's name: one of `people`, or one that the text
           itself shows to be a person's (see people.py). Beside such a person, the name's other mentions need a word of
           `given_name_context` near.
        3. A name in `evidence` is read like a short text. If it is just an ambiguous canonical name, alone ("Claude")
           or with a version ("Gemini 3"), it takes the place of the context word: the entity counts unless everything
           in the text speaks against it.

        evidence: names that AskNews recognised in the article, as `evidence_of` chooses them.
        people: the names of the type `Person`; only those of two words or more say anything ("Claude Dupont").
        """
        found: set[str] = set()
        named: set[_Rules] = set()
        products: set[Phrase] = set()
        for name in evidence:
            words = Words(name)
            found.update(self._mentions(words, frozenset(), (), frozenset()))
            product = tuple(words.folded)
            products.add(product)
            if (rules := self._ambiguous_names.get(_without_version(product))) is not None:
                named.add(rules)
        found.update(self._mentions(Words(text), named, people, products))
        return tuple(sorted(found))

    def _add(self, entity: TrackedEntity, names: Set[str]) -> _Rules:
        """The entity's rules, with all its phrases added to the tree."""
        around = {word for text in (*entity.context, *entity.capitalised_context) for word in phrase_of(text)}
        rules = _Rules(
            name=entity.name,
            excludes=self._numbers(entity.excludes),
            not_near=self._numbers(entity.not_near),
            context=self._context(entity.context),
            capitalised_context=self._context(entity.capitalised_context),
            given_name_context=self._context(entity.given_name_context),
            people=PeopleFinder(entity.ambiguous, names | around) if entity.given_name_context else None,
        )
        for number in self._numbers(entity.aliases):
            self._meanings[number].certain.append(rules)
        for number in self._numbers(entity.ambiguous):
            self._meanings[number].ambiguous.append(rules)
        for number in rules.excludes:
            self._meanings[number].excludes = True
        for number in rules.not_near | rules.context | rules.capitalised_context | rules.given_name_context:
            self._meanings[number].is_around = True
        return rules

    def _numbers(self, texts: Iterable[str]) -> frozenset[int]:
        return frozenset(self._tree.add(phrase_of(text)) for text in texts)

    def _context(self, texts: Iterable[str]) -> frozenset[int]:
        return frozenset(
            self._tree.add(phrase_of(text), in_capitals=len(text) == 2 and text.isupper()) for text in texts
        )

    def _mentions(
        self, words: Words, named: Set[_Rules], people: Iterable[str], products: Set[Phrase]
    ) -> Iterator[str]:
        """The entities that `words` mention, given those that the evidence has named, and as which products."""
        certain: list[tuple[_Rules, Hit]] = []
        candidates: defaultdict[_Rules, list[Hit]] = defaultdict(list)
        excluding: list[Hit] = []
        around: list[Hit] = []
        for hit in self._tree.find(words):
            meaning = self._meanings[hit.number]
            for rules in meaning.certain:
                certain.append((rules, hit))  # a list for each hit costs more
            for rules in meaning.ambiguous:
                candidates[rules].append(hit)
            if meaning.excludes:
                excluding.append(hit)
            if meaning.is_around:
                around.append(hit)
        voids = Voids(excluding, self._tree.longest)
        found: set[_Rules] = set()
        for rules, name in certain:
            if rules not in found and not voids.cover(name, rules.excludes):
                found.add(rules)
                yield rules.name
        if not (candidates.keys() | named) - found:
            return
        text = _Text(words, Around(words, around, self._tree.longest), FullNames(map(phrase_of, people)), products)
        for rules in (candidates.keys() | named) - found:
            names = [name for name in candidates.get(rules, ()) if not voids.cover(name, rules.excludes)]
            if rules not in candidates:
                # Nothing but the evidence: the article's full text, which was not passed, may hold the name.
                if not text.around.any(rules.not_near):
                    yield rules.name
            elif _any_counts(rules, names, text, is_named=rules in named):
                yield rules.name


def _any_counts(rules: _Rules, names: Sequence[Hit], text: _Text, *, is_named: bool) -> bool:
    """Whether one of the ambiguous `names`, none of them inside an excluding phrase, is a mention."""
    near = text.around.near

    def mentions(names: Iterable[Hit], context: Set[int], capitalised_context: Set[int]) -> list[Hit]:
        return [
            name
            for name in names
            if not near(name, rules.not_near)
            and (
                near(name, context)
                # Where there is such a context, the name is a common word unless it has a capital.
                or (
                    (is_named or near(name, capitalised_context))
                    and (not rules.capitalised_context or text.words.capitalised(name))
                )
            )
            and not text.people.cover(text.words, name)
        ]

    found = mentions(names, rules.context, rules.capitalised_context)
    if not found or rules.people is None:
        return bool(found)
    persons = persons_among(text.words, names)
    full_names = FullNames({phrase_of(name) for name in rules.people.full_names(text.words.text)} - text.products)
    if persons or full_names.phrases or rules.people.is_among(text.people.phrases):
        found = mentions(found, rules.given_name_context, frozenset())
    return any(name not in persons and not full_names.cover(text.words, name) for name in found)


def evidence_of(entities: Mapping[str, Sequence[str]]) -> list[str]:
    """Return, of what AskNews recognised in a text (names by type), the names that may be a model's or a tool's.

    The `Person` Claude, a `Location`, an `Event` are something else.
    """
    return [name for kind in EVIDENCE_TYPES for name in entities.get(kind, ())]


def _without_version(phrase: Phrase) -> Phrase:
    """The words of `phrase`, without a version at its end."""
    words = tuple(filter(is_word, phrase))
    return words[:-1] if len(words) > 1 and is_version(words[-1]) else words
