"""A name that is a given name too: where it is a person's, it is not a mention, whoever says so."""

import pytest

from flows.entities import EntityMatcher, load_tracked

CLAUDE = "Claude"
MATCHER = EntityMatcher(load_tracked())


@pytest.mark.parametrize(
    "text",
    [
        "Claude Dupont explains AI to children",
        "The lecturer Claude Dupont, who trains AI models, spoke in Lyon",
        "Claude E. Martin and Claude van den Berg wrote a book about chatbots",
        "My uncle Claude loves AI",
        "Ask uncle Claude about chatbots",
        "Mon oncle Claude utilise l\u2019IA",
        "Mr. Claude teaches AI at a school in Nantes",
        "Dr Claude treats patients with AI",
        "Her friend Claude writes prompts for a living",
        "Claude, 74, has discovered AI chatbots",
        "Claude (81), a retired baker, talks to an AI",
        "Claude, aged 35, teaches coding",
        "Claude, my older brother, is afraid of AI",
        "Uncle Claude and AI\nEvery morning, Claude asks an AI chatbot about the weather",
        "Claude Dupont explains AI. When Claude was young, there was no AI.",
    ],
)
def test_a_person_is_no_mention_though_nobody_lists_him(text: str) -> None:
    assert MATCHER.mentioned(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "Claude Gains Memory and AI Agents Follow",
        "Claude Becomes the Most Used AI Chatbot in the World",
        "Anthropic updated Claude Tuesday with a longer context window",
        "Anthropic says that Claude AI writes most of its code",
        "Many prefer Claude Opus for coding",
        "Der Chatbot Claude hilft bei KI-Fragen; die Claude-Nutzer freuen sich",
        "You should not miss Claude, the AI chatbot",
        "Claude, my favourite AI assistant, writes code",
        "Claude, 2 years after its launch, is the best AI chatbot",
        "He asked the AI assistant Claude for help",
        "My uncle Claude asked Claude, the chatbot by Anthropic, about his garden",
        "Claude Dupont works with Anthropic's Claude",
        "Which AI chatbot writes better code\nClaude won seven of ten tasks",
    ],
)
def test_the_assistant_is_a_mention_beside_a_persons_verbs(text: str) -> None:
    assert MATCHER.mentioned(text) == (CLAUDE,)


def test_beside_a_listed_person_a_bare_name_needs_the_maker() -> None:
    text = "Claude trains AI models and writes prompts"
    assert MATCHER.mentioned(text) == (CLAUDE,)
    assert MATCHER.mentioned(text, people=["Claude Dupont"]) == ()
    assert MATCHER.mentioned(text + " for Anthropic", people=["Claude Dupont"]) == (CLAUDE,)


def test_a_product_in_the_evidence_is_no_person() -> None:
    text = "Agencies test Claude Zephyr, an AI model"
    assert MATCHER.mentioned(text) == ()
    assert MATCHER.mentioned(text, evidence=["Claude Zephyr"]) == (CLAUDE,)
    assert MATCHER.mentioned("Claude Dupont likes Claude", evidence=["Claude"]) == (CLAUDE,)


@pytest.mark.parametrize("mistake", ["Claude Opus", "Claude AI", "Claude Anthropic"])
def test_a_listed_person_in_the_products_own_words_is_a_mistake(mistake: str) -> None:
    assert MATCHER.mentioned("Claude writes code with AI", people=[mistake]) == (CLAUDE,)


def test_an_absurdly_long_person_is_ignored() -> None:
    person = "Claude " * 5_000
    assert MATCHER.mentioned(person + "by Anthropic", people=[person]) == (CLAUDE,)


@pytest.mark.parametrize(
    "repeated",
    ["Claude Dupont explains AI. ", "Claude ", "my friend Claude ", "Claude, 74, AI ", "Claude de ", "Claude  "],
)
def test_the_time_grows_with_the_text_and_not_with_its_square(repeated: str) -> None:
    assert MATCHER.mentioned(repeated * (200_000 // len(repeated))) == ()


def test_thousands_of_persons_cost_no_more_than_their_text() -> None:
    text = " ".join(f"Claude D{'aeiou'[n % 5]}{'bcdfg'[n // 5 % 5] * (n // 25)} sees AI. " for n in range(2_000))
    assert MATCHER.mentioned(text) == ()
