"""How long it takes to say which tracked entities 1,000 articles of 3 kB mention.

Run with `python -m benchmarks.matching`. The articles are made of ordinary words with names and traps strewn in, the
same ones each time. For comparison, the same aliases as one regular expression that only finds certain names and knows
nothing of context, exclusions or folding.
"""

import random
import re
import statistics
import time
from collections.abc import Callable

from flows.entities import EntityMatcher, load_tracked

ARTICLES = 1_000
ARTICLE_CHARACTERS = 3_000
ROUNDS = 5

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


def make_articles(seed: int = 1) -> list[str]:
    """The articles, the same for the same seed."""
    source = random.Random(seed)  # noqa: S311  # repeatable, not secret
    ordinary, strewn = _ORDINARY.split(), _STREWN.split("|")
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


def median_seconds(work: Callable[[], object]) -> float:
    """The median wall time of `work` over ROUNDS rounds, in seconds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the medians."""
    articles = make_articles()
    tracked = load_tracked()
    matcher = EntityMatcher(tracked)
    aliases = [re.escape(alias) for entity in tracked for alias in entity.aliases if "#" not in alias]
    expression = re.compile(rf"\b(?:{'|'.join(sorted(aliases, key=len, reverse=True))})\b", re.IGNORECASE)
    mentions = sum(len(matcher.mentioned(article)) for article in articles)
    print(f"{ARTICLES} articles of {ARTICLE_CHARACTERS} characters, {mentions} mentions, median of {ROUNDS} rounds")  # noqa: T201  # a command's output
    for label, work in (
        ("loading the list and building the matcher", lambda: EntityMatcher(load_tracked())),
        ("matching", lambda: [matcher.mentioned(article) for article in articles]),
        ("one alternation of the certain names", lambda: [expression.findall(article) for article in articles]),
    ):
        print(f"{median_seconds(work) * 1000:10.1f} ms  {label}")  # noqa: T201  # a command's output


if __name__ == "__main__":
    main()
