"""The matcher's rules by themselves: nearness, capitals, versions, and what holds for every text."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.entities import NEAR_WORDS, EntityMatcher, TrackedEntity, load_tracked
from flows.entities.folding import is_word, split_words
from flows.entities.phrases import PhraseTree, Words
from flows.entities.tracked import phrase_of

TRACKED = load_tracked()
MATCHER = EntityMatcher(TRACKED)

AMBER = EntityMatcher(
    [
        TrackedEntity(
            name="Amber",
            category="tool",
            aliases=("Amber #", "Amber Studio"),
            ambiguous=("Amber",),
            context=("compiler", "AI"),
            excludes=("Amber alert",),
            not_near=("jewel",),
        )
    ]
)


def mentions_amber(text: str) -> bool:
    return AMBER.mentioned(text) == ("Amber",)


@pytest.mark.parametrize("between", [0, 1, NEAR_WORDS - 1])
def test_context_counts_on_either_side_up_to_its_distance(between: int) -> None:
    gap = " ".join(["word"] * between)
    assert mentions_amber(f"amber {gap} compiler")
    assert mentions_amber(f"compiler {gap} amber")


def test_context_one_word_too_far_away_does_not_count() -> None:
    gap = " ".join(["word"] * NEAR_WORDS)
    assert not mentions_amber(f"amber {gap} compiler")
    assert not mentions_amber(f"compiler {gap} amber")


def test_punctuation_and_line_breaks_do_not_count_as_distance() -> None:
    gap = ",\n-- ".join(["word"] * (NEAR_WORDS - 1))
    assert mentions_amber(f"amber ({gap}) compiler")


def test_a_word_that_speaks_against_a_name_wins_over_context() -> None:
    assert not mentions_amber("the amber compiler is a jewel")
    assert mentions_amber("the amber compiler is fast" + " word" * NEAR_WORDS + " jewel")


def test_an_excluding_phrase_voids_only_the_name_inside_it() -> None:
    assert not mentions_amber("amber alert for a compiler")
    assert mentions_amber("amber alert, says the compiler of amber")


def test_an_excluding_phrase_does_not_void_a_longer_certain_name() -> None:
    matcher = EntityMatcher([TrackedEntity("Amber", "tool", aliases=("Amber Studio",), excludes=("an amber",))])
    assert matcher.mentioned("an amber studio") == ("Amber",)


def test_a_context_word_of_two_capitals_counts_only_in_capitals() -> None:
    assert mentions_amber("amber AI")
    assert not mentions_amber("amber parla ai giornalisti")


@pytest.mark.parametrize("text", ["Amber 3", "amber 3.1", "Amber-70B", "amber2", "AMBER3.1", "Amber 8x7B"])
def test_a_placeholder_stands_for_a_version(text: str) -> None:
    assert mentions_amber(text)


@pytest.mark.parametrize(
    "text", ["Amber 2026", "Amber #1", "Amber # 3", "Amber 4o", "Amber three", "Amber, 3", "amber2nd"]
)
def test_a_placeholder_stands_for_nothing_but_a_version(text: str) -> None:
    assert not mentions_amber(text)


@pytest.mark.parametrize(("text", "expected"), [("Amber tools", True), ("AMBER tools", True), ("amber tools", False)])
def test_context_for_capitalised_names_counts_only_for_those(text: str, expected: bool) -> None:
    entity = TrackedEntity("Amber", "tool", ambiguous=("Amber",), capitalised_context=("tools",))
    assert bool(EntityMatcher([entity]).mentioned(text)) == expected


def test_a_context_word_of_a_thousand_entities_is_found_once() -> None:
    tree = PhraseTree()
    numbers = {tree.add(phrase_of("language model")) for _entity in range(1_000)}
    assert [hit.number for hit in tree.find(Words("a language model"))] == list(numbers)


@pytest.mark.parametrize("entity", TRACKED, ids=lambda entity: entity.name)
def test_each_certain_alias_of_each_entity_is_enough(entity: TrackedEntity) -> None:
    for alias in entity.aliases:
        text = alias.replace("#.#", "3.5").replace("#", "3")
        assert entity.name in MATCHER.mentioned(f"Somebody said: {text}."), alias


@pytest.mark.parametrize("entity", [entity for entity in TRACKED if entity.ambiguous], ids=lambda entity: entity.name)
def test_no_ambiguous_name_is_enough_by_itself(entity: TrackedEntity) -> None:
    for alias in entity.ambiguous:
        assert MATCHER.mentioned(f"Somebody said: {alias}.") == (), alias


@pytest.mark.parametrize("entity", [entity for entity in TRACKED if entity.excludes], ids=lambda entity: entity.name)
def test_no_excluding_phrase_mentions_its_entity(entity: TrackedEntity) -> None:
    for phrase in entity.excludes:
        text = phrase.replace("#", "3")
        assert entity.name not in MATCHER.mentioned(text, evidence=[phrase]), phrase


PIECES = st.sampled_from(
    ["Claude", "claude", "Gemini", "v0", ".dev", "GPT", "-", "4o", "'s", "AI", "Cursor", "llama3.1", "#", "3.1", " "]
)


@given(text=st.text() | st.lists(PIECES | st.text(max_size=3)).map("".join), evidence=st.lists(st.text() | PIECES))
@example(text="\x00\ud800Claude\ud800 AI", evidence=["\x00", "\ud800"])
@example(text="ﷺ" * 50, evidence=["ﷺ"])
def test_any_text_is_answered_with_sorted_tracked_names(text: str, evidence: list[str]) -> None:
    mentioned = MATCHER.mentioned(text, evidence, people=evidence)
    assert list(mentioned) == sorted(set(mentioned))
    assert set(mentioned) <= {entity.name for entity in TRACKED}


def _continues_a_word(letter: str) -> bool:
    """Whether `letter` belongs to the word that it touches: not so in scripts without spaces and for apostrophes."""
    return len(split_words(f"a{letter}a")) == 1


LETTERS = st.characters(categories=["Ll", "Lu", "Lt", "Lm", "Lo"]).filter(_continues_a_word)
LITERAL_ALIASES = [alias for entity in TRACKED for alias in (*entity.aliases, *entity.ambiguous) if "#" not in alias]


@given(alias=st.sampled_from(LITERAL_ALIASES), letter=LETTERS)
@example(alias="Cursor", letter="s")
@example(alias="Claude", letter="е")  # noqa: RUF001  # a Cyrillic letter
def test_a_letter_beside_an_alias_makes_it_another_word(alias: str, letter: str) -> None:
    matcher = EntityMatcher([TrackedEntity("tracked", "tool", aliases=(alias,))])
    assert matcher.mentioned(f"say {alias} now") == ("tracked",)
    assert matcher.mentioned(f"say {alias}{letter} now") == ()
    assert matcher.mentioned(f"say {letter}{alias} now") == ()


@given(alias=st.sampled_from(LITERAL_ALIASES), form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_neither_case_nor_encoding_of_a_name_matters(alias: str, form: str) -> None:
    matcher = EntityMatcher([TrackedEntity("tracked", "tool", aliases=(alias,))])
    for written in (alias.upper(), alias.lower(), alias.title()):
        assert matcher.mentioned(unicodedata.normalize(form, written)) == ("tracked",)  # pyright: ignore[reportArgumentType]  # one of the four forms


@given(st.text())
def test_words_are_never_empty_and_hold_no_space(text: str) -> None:
    for token in split_words(text):
        assert token
        assert not is_word(token) or not any(character.isspace() for character in token)


@pytest.mark.parametrize(
    "repeated",
    ["claude ", "-", "a", "1.", "claude monet ", "\n ", "'s", "Claude AI ", "v0.", "\u0301", "レ", "llama 3 "],
)
def test_the_time_grows_with_the_text_and_not_with_its_square(repeated: str) -> None:
    # Half a million characters: anything that is not linear would run into the suite's time limit.
    assert set(MATCHER.mentioned(repeated * (500_000 // len(repeated)))) <= {"Claude", "Llama", "v0"}
