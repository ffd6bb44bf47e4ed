"""The texts that the sandbox's news is made of: the files in `content/`, checked when the application is built."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

CONTENT_DIRECTORY = Path(__file__).parent / "content"

Tone = Literal[-1, 0, 1]
ToneName = Literal["negative", "neutral", "positive"]
TONE_NAMES: dict[Tone, ToneName] = {-1: "negative", 0: "neutral", 1: "positive"}

# Keyed by AskNews' names of entity types, such as Person or Product.
Evidence: TypeAlias = dict[str, tuple[str, ...]]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Entry):
    """A tracked entity. `described` names it unmistakably, `versions` are its variants, without the plain name."""

    name: str
    category: Literal["model", "tool"]
    maker: str
    described: tuple[str, ...]
    versions: tuple[str, ...]
    evidence: Evidence
    subreddits: tuple[str, ...]


class Scenario(_Entry):
    """Templates for news about one subject or two (`rivals`: two of a kind, `pairing`: a tool and a model)."""

    about: Literal["model", "tool", "any", "rivals", "pairing"]
    sentiment: Tone
    classification: tuple[str, ...] | str
    keywords: tuple[str, ...]
    titles: tuple[str, ...]
    leads: tuple[str, ...]
    details: tuple[str, ...]
    content_type: str = "news"
    voice: str = "Objective"


class Trap(_Entry):
    """An article in which a tracked name means something else, or is hard to see. `mentions` is the truth about it."""

    titles: tuple[str, ...]
    # The English titles, in the same order, where `titles` are in another language.
    english_titles: tuple[str, ...] = ()
    summary: str
    # Text that a search sees and a response does not show.
    hidden: str = ""
    classification: tuple[str, ...] | str
    sentiment: Tone
    language: str = "en"
    mentions: tuple[str, ...] = ()
    evidence: Evidence = {}


class Outlet(_Entry):
    """An invented publisher."""

    name: str
    domain: str
    country: str
    language: str
    page_rank: int


class Stage(_Entry):
    """One update of a story."""

    tone: Tone
    headline: str
    story: str
    takeaway: str


class Arc(_Entry):
    """How a story develops. `about` is a kind of subject, or the name of one whose homonym the story is about."""

    about: str
    categories: tuple[str, ...]
    topics: tuple[str, ...]
    stages: tuple[Stage, ...]

    @property
    def is_homonym(self) -> bool:
        """Whether the story only sounds as if it were about a tracked entity."""
        return self.about not in ("model", "tool", "any", "rivals")


class Fillers(_Entry):
    """Words for the templates' gaps."""

    company: tuple[str, ...]
    city: tuple[str, ...]
    analyst: tuple[str, ...]
    firm: tuple[str, ...]
    sector: tuple[str, ...]
    task: tuple[str, ...]
    project: tuple[str, ...]
    language: tuple[str, ...]
    team: tuple[str, ...]
    event: tuple[str, ...]
    regulator: tuple[str, ...]
    university: tuple[str, ...]
    when: tuple[str, ...]
    closing: dict[ToneName, tuple[str, ...]]


class Comments(_Entry):
    """Invented Reddit comments and user names."""

    texts: tuple[str, ...]
    authors: tuple[str, ...]


class Reddit(_Entry):
    """Titles and texts of Reddit threads by tone."""

    titles: dict[ToneName, tuple[str, ...]]
    bodies: dict[ToneName, tuple[str, ...]]
    comments: Comments


class Content(_Entry):
    """Everything in `content/`."""

    subjects: tuple[Subject, ...] = Field(min_length=1)
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
    traps: tuple[Trap, ...] = Field(min_length=1)
    background: tuple[Trap, ...] = Field(min_length=1)
    outlets: tuple[Outlet, ...] = Field(min_length=1)
    # Titles in other languages, by language and tone.
    native_titles: dict[str, dict[ToneName, tuple[str, ...]]]
    arcs: tuple[Arc, ...] = Field(min_length=1)
    fillers: Fillers
    reddit: Reddit


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((CONTENT_DIRECTORY / f"{name}.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def load_content() -> Content:
    """Return the content, read once. Raises pydantic.ValidationError if a file does not have its shape."""
    outlets = _read("outlets")
    scenario_files = ("model_scenarios", "tool_scenarios", "shared_scenarios")
    return Content.model_validate(
        {
            "subjects": _read("subjects")["subject"],
            "scenarios": [scenario for name in scenario_files for scenario in _read(name)["scenario"]],
            "traps": _read("traps")["trap"],
            "background": _read("background")["trap"],
            "outlets": outlets["outlet"],
            "native_titles": outlets["native"],
            "arcs": _read("arcs")["arc"],
            "fillers": _read("fillers"),
            "reddit": _read("reddit"),
        }
    )
