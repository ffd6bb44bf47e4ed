"""The list of tracked entities: what the project's own holds, and what a wrong one is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.entities import TrackedEntitiesError, TrackedEntity, load_tracked, parse_tracked, search_names

VALID = """
[[entity]]
name = "Amber"
category = "tool"
aliases = ["Amber Studio"]
ambiguous = ["Amber"]
context = ["compiler"]
excludes = ["Amber alert"]
"""


def problems_of(toml: str) -> str:
    with pytest.raises(TrackedEntitiesError) as caught:
        parse_tracked(toml)
    return str(caught.value)


def test_the_ten_are_tracked() -> None:
    assert {(entity.name, entity.category) for entity in load_tracked()} == {
        ("GPT-4o", "model"),
        ("Claude", "model"),
        ("Gemini", "model"),
        ("Llama", "model"),
        ("Mistral", "model"),
        ("Cursor", "tool"),
        ("Lovable", "tool"),
        ("v0", "tool"),
        ("GitHub Copilot", "tool"),
        ("Replit", "tool"),
    }


def test_a_valid_file_gives_its_entities_in_order(tmp_path: Path) -> None:
    path = tmp_path / "tracked.toml"
    path.write_text(
        VALID + '[[entity]]\nname = "Basalt"\ncategory = "model"\naliases = ["Basalt"]\nsearch = ["Bslt"]\n'
    )
    assert load_tracked(path) == (
        TrackedEntity(
            name="Amber",
            category="tool",
            aliases=("Amber Studio",),
            ambiguous=("Amber",),
            context=("compiler",),
            excludes=("Amber alert",),
            search=("Amber",),
        ),
        TrackedEntity(name="Basalt", category="model", aliases=("Basalt",), search=("Bslt",)),
    )


def test_each_entity_is_searched_once_by_name_or_by_the_file() -> None:
    entities = [
        TrackedEntity("A", "tool", search=("A", "X")),
        TrackedEntity("B", "tool", search=("X", "B")),
    ]
    assert search_names(entities) == ["A", "X", "B"]
    assert {entity.name for entity in load_tracked()} <= set(search_names(load_tracked()))


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("[[entity", "not valid TOML"),
        ("", "no [[entity]] table"),
        ("entity = 3", "no [[entity]] table"),
        ("entity = [3]", "entity 1: not a table"),
        ("[settings]\n" + VALID, "unknown key 'settings'"),
        (VALID.replace('name = "Amber"\n', ""), "entity 1: `name` must be a text"),
        (VALID.replace('name = "Amber"', 'name = " "'), "entity 1: `name` must be a text"),
        (VALID.replace('"tool"', '"toy"'), "Amber: `category` must be one of model, tool, not 'toy'"),
        (VALID.replace('category = "tool"\n', ""), "Amber: `category` must be one of model, tool, not None"),
        (VALID.replace("aliases", "alias"), "Amber: unknown key 'alias'"),
        (VALID.replace('["Amber Studio"]', '"Amber Studio"'), "Amber: `aliases` must be a list of texts"),
        (VALID.replace('["Amber Studio"]', "[3]"), "Amber: `aliases` must be a list of texts"),
        (VALID.replace('"Amber Studio"', '""'), "Amber: empty entry '' in `aliases`"),
        (VALID.replace('"Amber Studio"', '"--"'), "Amber: empty entry '--' in `aliases`"),
        (VALID.replace('ambiguous = ["Amber"]', 'ambiguous = ["Ambr"]'), "Amber: the name itself must stand in"),
        (VALID.replace('["Amber Studio"]', '["AMBER"]'), "Amber: 'Amber' is in both `aliases` and `ambiguous`"),
        (VALID.replace('context = ["compiler"]', ""), "Amber: `ambiguous` and `context` need each other"),
        (
            '[[entity]]\nname = "A"\ncategory = "tool"\naliases = ["A"]\ngiven_name_context = ["b"]',
            "A: `given_name_context` needs `ambiguous`",
        ),
        (VALID.replace('"compiler"', '"amber studio"'), "Amber: 'amber studio' is a name of the entity"),
        (VALID.replace('"Amber alert"', '"jewel"'), "Amber: 'jewel' in `excludes` contains none of its names"),
        (VALID + "search = []", "Amber: `search` is empty"),
        (
            VALID + '[[entity]]\nname = "Other"\ncategory = "tool"\naliases = ["Other", "amber-studio"]',
            "Other: 'amber-studio' also belongs to Amber",
        ),
        (VALID + VALID, "Amber: 'Amber' also belongs to Amber"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(toml: str, problem: str) -> None:
    assert problem in problems_of(toml)


def test_every_problem_is_named_at_once() -> None:
    message = problems_of(VALID.replace('"tool"', '"toy"') + VALID.replace("aliases", "alias"))
    assert len(message.splitlines()) == 2


PIECES = ["[[entity]]", "name", "category", "aliases", '"Amber"', '"tool"', *"[]{}=,1\n"]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=20).map("".join) | st.text())
def test_any_text_is_read_or_told_what_is_wrong(toml: str) -> None:
    try:
        assert parse_tracked(VALID + toml)
    except TrackedEntitiesError as error:
        assert str(error)  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"entity = " + b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
        (b"entity = " + b"9" * 5_000, "not valid TOML"),
        (b'[[entity]]\nname = "Caf\xe9"', "not UTF-8 from byte 22 on: save the file as UTF-8"),
    ],
    ids=["nested", "a number of 5,000 digits", "latin-1"],
)
def test_a_file_without_sense_is_refused_in_words(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "tracked.toml").write_bytes(content)
    with pytest.raises(TrackedEntitiesError, match=problem):
        load_tracked(tmp_path / "tracked.toml")


def test_a_file_that_begins_with_a_bom_is_read(tmp_path: Path) -> None:
    (tmp_path / "tracked.toml").write_text(VALID, encoding="utf-8-sig")
    assert [entity.name for entity in load_tracked(tmp_path / "tracked.toml")] == ["Amber"]
