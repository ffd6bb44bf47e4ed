"""Who is tracked: `tracked.toml`, read and checked."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, cast

from flows.entities.folding import fold, is_word, split_words

Category = Literal["model", "tool"]

TRACKED_FILE = Path(__file__).with_name("tracked.toml")
_CATEGORIES = ("model", "tool")


class TrackedEntitiesError(ValueError):
    """The list of tracked entities is wrong: one line for each problem, naming the entity and the key."""


@dataclass(frozen=True)
class TrackedEntity:
    """One model or tool and the names that it goes by. What each field does is written at the top of `tracked.toml`."""

    name: str
    category: Category
    aliases: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    capitalised_context: tuple[str, ...] = ()
    given_name_context: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    not_near: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


_LISTS = tuple(field.name for field in fields(TrackedEntity) if field.name not in ("name", "category"))


def load_tracked(path: Path = TRACKED_FILE) -> tuple[TrackedEntity, ...]:
    """Read the tracked entities, in the file's order.

    Raises TrackedEntitiesError, with every problem found, when the file is not TOML or its content makes no sense, and
    OSError when it cannot be read.
    """
    try:
        return parse_tracked(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a BOM
    except UnicodeDecodeError as error:
        raise TrackedEntitiesError(f"not UTF-8 from byte {error.start} on: save the file as UTF-8") from None


def parse_tracked(toml: str) -> tuple[TrackedEntity, ...]:
    """Do as `load_tracked`, from the file's text."""
    try:
        document: Mapping[str, object] = tomllib.loads(toml)
    except ValueError as error:  # a TOMLDecodeError, or a number of more digits than Python reads
        raise TrackedEntitiesError(f"not valid TOML: {error}") from error
    except RecursionError:
        raise TrackedEntitiesError("nested too deeply: only [[entity]] tables belong here") from None
    problems = [f"unknown key {key!r}: only [[entity]] tables belong here" for key in document if key != "entity"]
    tables = document.get("entity")
    if not isinstance(tables, list) or not tables:
        raise TrackedEntitiesError("\n".join([*problems, "no [[entity]] table"]))
    entities: list[TrackedEntity] = []
    for number, table in enumerate(cast("list[object]", tables), start=1):
        entity = _read_entity(table, f"entity {number}", problems)
        if entity is not None:
            problems.extend(_problems_of(entity))
            entities.append(entity)
    problems.extend(_shared_names(entities))
    if problems:
        raise TrackedEntitiesError("\n".join(problems))
    return tuple(entities)


def search_names(entities: Iterable[TrackedEntity]) -> list[str]:
    """Return what to ask AskNews for (its `string_guarantee`), so that one query finds what mentions any of `entities`.

    Far fewer than the aliases: most of those contain the name itself. Without repetitions, in order.
    """
    return list(dict.fromkeys(name for entity in entities for name in entity.search))


def phrase_of(text: str) -> tuple[str, ...]:
    """Return `text` as the folded words and punctuation that a text has to show, one after another, to contain it."""
    return tuple(fold(split_words(text)))


def _read_entity(table: object, label: str, problems: list[str]) -> TrackedEntity | None:
    """The entity that `table` describes; None, with the reasons added to `problems`, where it describes none."""
    if not isinstance(table, dict):
        problems.append(f"{label}: not a table")
        return None
    values = cast("dict[str, object]", table)
    name = values.get("name")
    if not isinstance(name, str) or not phrase_of(name):
        problems.append(f"{label}: `name` must be a text with at least one word")
        return None
    found = len(problems)
    problems.extend(
        f"{name}: unknown key {key!r}" for key in values if key not in ("name", "category") and key not in _LISTS
    )
    category = values.get("category")
    if category not in _CATEGORIES:
        problems.append(f"{name}: `category` must be one of {', '.join(_CATEGORIES)}, not {category!r}")
    lists: dict[str, tuple[str, ...]] = {}
    for key in _LISTS:
        entries = values.get(key, [])
        if isinstance(entries, list) and all(isinstance(entry, str) for entry in cast("list[object]", entries)):
            lists[key] = tuple(cast("list[str]", entries))
        else:
            problems.append(f"{name}: `{key}` must be a list of texts")
    if len(problems) > found:
        return None
    if "search" not in values:
        lists["search"] = (name,)
    return TrackedEntity(name=name, category=cast("Category", category), **lists)


def _problems_of(entity: TrackedEntity) -> Iterator[str]:
    """What is wrong within one entity."""
    for key in _LISTS:
        for entry in cast("tuple[str, ...]", getattr(entity, key)):
            if not any(is_word(token) for token in split_words(entry)):
                yield f"{entity.name}: empty entry {entry!r} in `{key}`"
    names = {phrase_of(name) for name in (*entity.aliases, *entity.ambiguous)}
    if phrase_of(entity.name) not in names:
        yield f"{entity.name}: the name itself must stand in `aliases` or, if it means other things too, in `ambiguous`"
    for alias in entity.ambiguous:
        if phrase_of(alias) in {phrase_of(certain) for certain in entity.aliases}:
            yield f"{entity.name}: {alias!r} is in both `aliases` and `ambiguous`"
    if bool(entity.ambiguous) != bool(entity.context or entity.capitalised_context):
        yield f"{entity.name}: `ambiguous` and `context` need each other"
    if entity.given_name_context and not entity.ambiguous:
        yield f"{entity.name}: `given_name_context` needs `ambiguous`: a certain name is not a person's"
    for word in (*entity.context, *entity.capitalised_context, *entity.given_name_context):
        if phrase_of(word) in names:
            yield f"{entity.name}: {word!r} is a name of the entity and cannot be its own context"
    for phrase in entity.excludes:
        if not any(_contains(phrase_of(phrase), name) for name in names):
            yield f"{entity.name}: {phrase!r} in `excludes` contains none of its names: use `not_near` for words around"
    if not entity.search:
        yield f"{entity.name}: `search` is empty, so nothing would be asked for"


def _contains(phrase: tuple[str, ...], part: tuple[str, ...]) -> bool:
    return any(phrase[start : start + len(part)] == part for start in range(len(phrase) - len(part) + 1))


def _shared_names(entities: Iterable[TrackedEntity]) -> Iterator[str]:
    """Names that two entities claim, so that no text could tell which of them it mentions."""
    owners: dict[tuple[str, ...], TrackedEntity] = {}
    for entity in entities:
        for name in dict.fromkeys((entity.name, *entity.aliases, *entity.ambiguous)):
            owner = owners.setdefault(phrase_of(name), entity)
            if owner is not entity:
                yield f"{entity.name}: {name!r} also belongs to {owner.name}"
