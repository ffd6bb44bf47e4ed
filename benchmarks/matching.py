"""How long it takes to say which tracked entities 10,000 articles of 3 kB mention, and how it grows with the entities.

Run with `python -m benchmarks.matching`, and with `--against CHECKOUT` beside another checkout of this project, whose
rounds alternate with ours. A table, then the same as one line of JSON. In CPU seconds, which a loaded machine
changes little.

The articles are made of ordinary words with names and traps strewn in, the same ones each time. 10 entities are the
tracked ones; beyond, they are made up, with context words that all of them share or that each has for itself. For
comparison, `pyahocorasick` (where it is installed) finds the same names and context words, and knows nothing of whole
words, nearness, exclusions or folding.
"""

# ruff: noqa: T201  # a command's output

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Replaced by the other checkout's where this file runs for it.
from flows.entities import EntityMatcher, TrackedEntity, load_tracked

ARTICLES = 200
REPORTED_ARTICLES = 10_000
ARTICLE_CHARACTERS = 3_000
ROUNDS = 5
SIZES = (10, 100, 1_000)

_ORDINARY = (
    "the of and to in company new said year model software market people work time more than which after could team "
    "report product users month growth plan office research data price open week number first system country group"
)
_STREWN = (
    "Claude Monet|Claude|Claude Code|GPT-4o|Gemini|horoscope|Gemini Pro|Llama 3.1|Mistral AI|mistral wind|"
    "mouse cursor|Cursor|Lovable|v0.dev|v0.1.2|GitHub Copilot|Replit|Precursor|Anthropic\u2019s|AI|“quoted”"
    "|ClaudeはAIです"
)
_STREWN_SHARE = 0.03
# How many of the made-up names stand in the articles.
_NAMES_STREWN = 20
_CONTEXT = (
    "AI|artificial intelligence|startup|software|model|users|company|chatbot|coding|developers|OpenAI|language model"
)


def make_articles(names: list[str]) -> list[str]:
    """The articles, with some of `names` in them; the same for the same names."""
    source = random.Random(1)  # noqa: S311  # repeatable, not secret
    ordinary = _ORDINARY.split()
    strewn = [*_STREWN.split("|"), *names[:: max(1, len(names) // _NAMES_STREWN)]]
    articles: list[str] = []
    for _ in range(ARTICLES):
        words: list[str] = []
        length = 0
        while length < ARTICLE_CHARACTERS:
            word = source.choice(strewn if source.random() < _STREWN_SHARE else ordinary)
            words.append(word)
            length += len(word) + 1
        articles.append(" ".join(words)[:ARTICLE_CHARACTERS])
    return articles


def make_entities(count: int, *, is_shared: bool) -> list[TrackedEntity]:
    """The tracked entities, and made-up ones up to `count`, which share their context words or do not."""
    made_up: list[TrackedEntity] = []
    tracked = load_tracked()
    for number in range(count - len(tracked)):
        name = f"Zork{number}ka"
        context = [word if is_shared else f"{word} of {number}" for word in _CONTEXT.split("|")]
        made_up.append(TrackedEntity(name, "tool", aliases=(f"{name} AI",), ambiguous=(name,), context=tuple(context)))
    return [*tracked, *made_up]


def cpu_seconds(work: Callable[[str], object], articles: list[str]) -> float:
    """The CPU seconds that `work` takes for `REPORTED_ARTICLES` articles."""
    start = time.process_time()
    for article in articles:
        work(article)
    return (time.process_time() - start) * REPORTED_ARTICLES / len(articles)


def measure() -> dict[str, float]:
    """One round: the CPU seconds of each case."""
    results: dict[str, float] = {}
    for count in SIZES:
        for is_shared in (True, False) if count > SIZES[0] else (True,):
            entities = make_entities(count, is_shared=is_shared)
            articles = make_articles([entity.name for entity in entities[SIZES[0] :]])
            matcher = EntityMatcher(entities)
            label = f"{count} entities{'' if count == SIZES[0] else ', shared' if is_shared else ', own'}"
            results[label] = cpu_seconds(matcher.mentioned, articles)
            if is_shared and (search := _aho_corasick(entities)) is not None:
                results[f"pyahocorasick, {count}"] = cpu_seconds(search, articles)
    return results


def _aho_corasick(entities: list[TrackedEntity]) -> Callable[[str], object] | None:
    try:
        import ahocorasick  # pyright: ignore[reportMissingImports]  # compared with where it is installed
    except ImportError:
        return None
    automaton = ahocorasick.Automaton()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # it has no types
    for entity in entities:
        for phrase in (*entity.aliases, *entity.ambiguous, *entity.context):
            automaton.add_word(phrase.lower(), phrase)  # pyright: ignore[reportUnknownMemberType]  # it has no types
    automaton.make_automaton()  # pyright: ignore[reportUnknownMemberType]  # it has no types
    return lambda text: sum(1 for _hit in automaton.iter(text.lower()))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # it has no types


def _measure_in(checkout: Path) -> dict[str, float]:
    """One round in a process of its own that imports `flows` from `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    command = [sys.executable, __file__, "--measure"]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)  # noqa: S603  # this file


def main() -> None:
    """Print the medians, and beside another checkout the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of this project, to be measured beside")
    parser.add_argument("--measure", action="store_true", help="measure one round and print it as JSON")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure()))
        return
    sides = {"here": Path(__file__).resolve().parent.parent}
    if arguments.against is not None:
        sides["there"] = arguments.against
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, checkout in sides.items():
            rounds[side].append(_measure_in(checkout))
    report: dict[str, dict[str, float]] = {}
    for label in rounds["here"][0]:
        report[label] = {side: round(statistics.median(one[label] for one in of), 2) for side, of in rounds.items()}
        if "there" in sides:
            ratios = [a[label] / b[label] for a, b in zip(rounds["here"], rounds["there"], strict=True)]
            report[label] |= {
                "ratio": round(statistics.median(ratios), 3),
                "least": round(min(ratios), 3),
                "most": round(max(ratios), 3),
            }
    print(f"CPU seconds for {REPORTED_ARTICLES} articles of {ARTICLE_CHARACTERS} characters, {ROUNDS} rounds")
    for label, figures in report.items():
        print(f"{label:24}", "  ".join(f"{name} {value:8}" for name, value in figures.items()))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
