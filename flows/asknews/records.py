"""Parsing a page item by item: good items become records, each bad one is set aside with its reason.

One unknown value in one article must not cost the page, so nothing here raises: for any list of JSON values,
`len(items) == len(records) + len(rejects)`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from flows.asknews.fields import clean

RecordT = TypeVar("RecordT")

RecordKind = Literal["article", "story"]

# UTF-8 bytes of the rejected item's JSON that are kept.
LONGEST_RAW = 16_384
LONGEST_REASON = 500
LONGEST_EXTERNAL_ID = 200
REASONS_SHOWN = 3

# Names, e-mail addresses and writings of people, and whole texts: not stored, and so not kept with a reject either.
_NOT_KEPT = frozenset({"authors", "author", "body", "comments", "full_text"})


class Record(BaseModel):
    """Base of the records: immutable, tolerant of unknown fields; a null counts as absent.

    Fields can be given by AskNews' name or by ours.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            raise ValueError("is not an object")  # noqa: TRY004  # pydantic collects ValueError, not TypeError
        given = cast(Mapping[object, object], data)
        return {key: value for key, value in given.items() if value is not None}


class Tolerant(Protocol):
    """A record that names what of it was unusable, or was cut."""

    @property
    def altered_fields(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Reject:
    """An item that cannot be used as a record.

    `external_id` is AskNews' id if the item has one that can be read; `raw` is the item's JSON without personal data
    and whole texts, cut to `LONGEST_RAW` bytes of UTF-8.
    """

    kind: RecordKind
    external_id: str | None
    reason: str
    raw: str


def parse_items(
    items: Sequence[object], parse: Callable[[object], RecordT], *, kind: RecordKind, id_field: str
) -> tuple[list[RecordT], list[Reject]]:
    """Return the records that `parse` makes of `items`, in order, and the items for which it raised ValueError."""
    records: list[RecordT] = []
    rejects: list[Reject] = []
    for item in items:
        try:
            records.append(parse(item))
        except ValueError as error:
            rejects.append(
                Reject(kind=kind, external_id=_external_id(item, id_field), reason=_reason(error), raw=_raw(item))
            )
    return records, rejects


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return clean(str(error))[:LONGEST_REASON]
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [_problem(problem["loc"], problem["msg"]) for problem in problems[:REASONS_SHOWN]]
    if len(problems) > REASONS_SHOWN:
        shown.append(f"and {len(problems) - REASONS_SHOWN} more")
    return clean("; ".join(shown))[:LONGEST_REASON]


def _problem(location: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in location) or "the item"
    return f"{path} {message.removeprefix('Value error, ')}"


def _external_id(item: object, id_field: str) -> str | None:
    found = cast(Mapping[str, object], item).get(id_field) if isinstance(item, Mapping) else None
    if not isinstance(found, str):
        return None
    return clean(found).strip()[:LONGEST_EXTERNAL_ID] or None


def _raw(item: object) -> str:
    try:
        raw = json.dumps(_without_personal_data(item), ensure_ascii=False)
    except (RecursionError, ValueError):
        raw = '"(nested too deeply, or a number too long, to be kept)"'
    return clean(raw).encode()[:LONGEST_RAW].decode(errors="ignore")


def _without_personal_data(value: Any) -> Any:
    if isinstance(value, dict):
        given = cast(dict[str, Any], value)
        return {key: _without_personal_data(item) for key, item in given.items() if key not in _NOT_KEPT}
    if isinstance(value, list):
        return [_without_personal_data(item) for item in cast(list[Any], value)]
    return value
