"""Validators for lists and objects of AskNews' JSON: each item stands alone, and an odd one is left out and noted.

That lists hold nulls or items of another type is inferred; that quantities come as bare numbers, and a list of one as
the bare item, is seen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ValidationInfo

from flows.asknews.fields import clean, cut, note_altered, string, whole_number

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


def texts(count: int, limit: int) -> BeforeValidator:
    """Accept a list of strings, or one string for a list of one; leave out blank ones, cut the rest to both limits."""

    def validate(value: object, info: ValidationInfo) -> list[str]:
        return _texts(value, count, limit, info)

    return BeforeValidator(validate)


def texts_by_type(types: int, count: int, limit: int) -> BeforeValidator:
    """Accept an object of lists of strings; leave out empty lists, cut the rest to the limits."""

    def validate(value: object, info: ValidationInfo) -> dict[str, list[str]]:
        result: dict[str, list[str]] = {}
        for key, names in _entries(value, info):
            cleaned = _texts(names, count, limit, info)
            if cleaned:
                result[cut(clean(str(key)), limit, info)] = cleaned
        return _first(result, types, info)

    return BeforeValidator(validate)


def counts(count: int, limit: int) -> BeforeValidator:
    """Accept an object of whole numbers; a list of strings becomes how often each occurs in it."""

    def validate(value: object, info: ValidationInfo) -> dict[str, int]:
        result: dict[str, int] = {}
        if isinstance(value, list):
            items = cast(list[object], value)
            for name in _texts(items, len(items), limit, info):
                result[name] = result.get(name, 0) + 1
        else:
            entries = list(_entries(value, info))
            for (key, _), number in zip(entries, _each((one for _, one in entries), whole_number, info), strict=True):
                if number is not None:
                    result[cut(clean(str(key)), limit, info)] = number
        return _first(result, count, info)

    return BeforeValidator(validate)


def values(validate_one: Callable[[object], T]) -> BeforeValidator:
    """Accept a list, or one item for a list of one, and keep what `validate_one` makes of each item."""

    def validate(value: object, info: ValidationInfo) -> list[T]:
        given = cast(list[object], value) if isinstance(value, list) else [] if value is None else [value]
        return [item for item in _each(given, validate_one, info) if item is not None]

    return BeforeValidator(validate)


def records(model: type[ModelT]) -> BeforeValidator:
    """Accept a list of objects, each of them a `model`."""

    def validate(value: object, info: ValidationInfo) -> list[ModelT]:
        given = cast(list[object], value) if isinstance(value, list) else _none_of(value, info)
        read = _each(given, lambda item: model.model_validate(item, context=info.context), info)
        return [item for item in read if item is not None]

    return BeforeValidator(validate)


def array(value: object) -> list[object]:
    """Accept a list, as it is."""
    if not isinstance(value, list):
        raise ValueError("is not a list")  # noqa: TRY004  # pydantic collects ValueError, not TypeError
    return cast(list[object], value)


def _each(items: Iterable[object], validate: Callable[[object], T], info: ValidationInfo) -> Iterator[T | None]:
    """What `validate` makes of each of `items`; None, noted, where it raises ValueError."""
    for item in items:
        try:
            yield validate(item)
        except ValueError:
            note_altered(info)
            yield None


def _entries(value: object, info: ValidationInfo) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return cast(Mapping[object, object], value).items()
    return _none_of(value, info)


def _none_of(value: object, info: ValidationInfo) -> list[Any]:
    """No items, which is noted unless `value` is absent."""
    if value is not None:
        note_altered(info)
    return []


def _texts(value: object, count: int, limit: int, info: ValidationInfo) -> list[str]:
    if isinstance(value, str):
        value = [value]
    given = cast(list[object], value) if isinstance(value, list) else _none_of(value, info)
    cleaned = [item for item in _each(given, _text, info) if item]
    if len(cleaned) > count:
        note_altered(info)
    return [cut(item, limit, info) for item in cleaned[:count]]


def _text(item: object) -> str:
    # Quantities are sometimes sent as bare numbers.
    return str(item) if isinstance(item, int | float) and not isinstance(item, bool) else string(item).strip()


def _first(value: dict[str, Any], count: int, info: ValidationInfo) -> dict[str, Any]:
    if len(value) > count:
        note_altered(info)
    return dict(list(value.items())[:count])
