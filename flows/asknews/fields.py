"""Validators for single fields of AskNews' JSON: tolerant of decoration, strict where a database would refuse.

Rules, for every field:
- NUL characters are removed and lone surrogates replaced: PostgreSQL stores neither.
- Text and lists over their limit are cut, and the field's name is noted in the validation context (a set of names), so
  that the record can say so. Addresses and identifiers are never cut: over-long ones are refused.
- Whole numbers fit a 32-bit column, numbers are finite, and a bool is not a number.
- Dates carry their offset, or are Unix seconds; they become aware UTC. A date without an offset is refused, because
  guessing its zone would move an article out of its window.
"""

# pydantic collects ValueError, not TypeError.
# ruff: noqa: TRY004

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BeforeValidator, ValidationInfo

# Bytes, because a unique index in PostgreSQL refuses entries over about 2,700 of them.
LONGEST_URL = 2_048
LARGEST_INTEGER = 2**31 - 1
# Outside, a date is a placeholder or a mistake of units (milliseconds taken for seconds).
EARLIEST_YEAR, LATEST_YEAR = 1900, 2199

_SURROGATES = re.compile("[\ud800-\udfff]")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f<>\"]")


def clean(text: str) -> str:
    """`text` without NUL characters, and with U+FFFD for each lone surrogate: what a database driver can encode."""
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))


def note_altered(info: ValidationInfo) -> None:
    """Note that the field under validation was cut or dropped."""
    context: object = info.context
    if isinstance(context, set) and info.field_name is not None:
        cast(set[str], context).add(info.field_name)


def text(limit: int, *, required: bool = False) -> BeforeValidator:
    """A string, stripped and cut to `limit` characters; `required` refuses a blank one."""

    def validate(value: object, info: ValidationInfo) -> str:
        cleaned = _string(value).strip()
        if required and not cleaned:
            raise ValueError("is blank")
        return _cut(cleaned, limit, info)

    return BeforeValidator(validate)


def label(limit: int) -> BeforeValidator:
    """A string that only describes; one of another type becomes None and is noted, rather than cost the record."""

    def validate(value: object, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            note_altered(info)
            return None
        return _cut(clean(value).strip(), limit, info) or None

    return BeforeValidator(validate)


def identifier(limit: int) -> BeforeValidator:
    """A string or UUID that identifies something: never cut, so an over-long or blank one is refused."""

    def validate(value: object) -> str:
        cleaned = str(value) if isinstance(value, UUID) else _string(value).strip()
        if not 0 < len(cleaned) <= limit:
            raise ValueError(f"is blank or longer than {limit} characters")
        return cleaned

    return BeforeValidator(validate)


def texts(count: int, limit: int) -> BeforeValidator:
    """A list of strings, or one string for a list of one; blank ones are left out, the rest cut to both limits."""

    def validate(value: object, info: ValidationInfo) -> list[str]:
        return _texts(value, count, limit, info)

    return BeforeValidator(validate)


def texts_by_type(types: int, count: int, limit: int) -> BeforeValidator:
    """An object of lists of strings; empty lists are left out, the rest cut to the limits."""

    def validate(value: object, info: ValidationInfo) -> dict[str, list[str]]:
        result: dict[str, list[str]] = {}
        for key, names in _mapping(value).items():
            cleaned = _texts(names, count, limit, info) if names is not None else []
            if cleaned:
                result[_cut(clean(str(key)), limit, info)] = cleaned
        return _first(result, types, info)

    return BeforeValidator(validate)


def counts(count: int, limit: int) -> BeforeValidator:
    """An object of whole numbers; a list of strings becomes how often each occurs in it."""

    def validate(value: object, info: ValidationInfo) -> dict[str, int]:
        result: dict[str, int] = {}
        if isinstance(value, list):
            for name in _texts(cast(list[object], value), LARGEST_INTEGER, limit, info):
                result[name] = result.get(name, 0) + 1
        else:
            for key, number in _mapping(value).items():
                result[_cut(clean(str(key)), limit, info)] = whole_number(number)
        return _first(result, count, info)

    return BeforeValidator(validate)


def whole_number(value: object) -> int:
    """A whole number of at most 32 bits; 1.0 counts as 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number")
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError("is a whole number of more than 32 bits")
    return value


def finite_number(value: object) -> float:
    """A finite number, as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def finite_number_or_none(value: object) -> float | None:
    """A finite number as a float, or None."""
    return None if value is None else finite_number(value)


def one_or_more(value: object) -> object:
    """A list as it is, anything else as a list of one."""
    return cast(list[object], value) if isinstance(value, list) else [value]


def moment(value: object) -> datetime:
    """An aware UTC datetime, from an ISO 8601 string with an offset, from Unix seconds, or from an aware datetime."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("is not an ISO 8601 date") from None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise ValueError("is not a time in Unix seconds") from None
    if not isinstance(value, datetime):
        raise ValueError("is neither an ISO 8601 date nor Unix seconds")
    if value.utcoffset() is None:
        raise ValueError("is a date without a UTC offset")
    if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        raise ValueError(f"is a date outside the years {EARLIEST_YEAR} to {LATEST_YEAR}")
    return value.astimezone(UTC)


def uuid(value: object) -> UUID:
    """A UUID, from its string."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(_string(value))
    except ValueError:
        raise ValueError("is not a UUID") from None


def web_address(value: object) -> str:
    """An absolute http or https address of at most `LONGEST_URL` bytes; others, `javascript:` say, are refused."""
    address = _string(value).strip()
    if len(address.encode()) > LONGEST_URL:
        raise ValueError(f"is an address longer than {LONGEST_URL} bytes")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ValueError("is not a web address") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc or _NOT_IN_URL.search(address):
        raise ValueError("is not a web address")
    return address


def optional_web_address(value: object, info: ValidationInfo) -> str | None:
    """An address that the record can do without: blank becomes None, an unusable one becomes None and is noted."""
    if value is None or value == "":
        return None
    try:
        return web_address(value)
    except ValueError:
        note_altered(info)
        return None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return clean(value)


def _mapping(value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise ValueError("is not an object")
    return cast(Mapping[object, object], value)


def _texts(value: object, count: int, limit: int, info: ValidationInfo) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise ValueError("is neither a list of strings nor a string")
    result: list[str] = []
    for item in cast(list[object], value):
        # Quantities are sometimes sent as bare numbers.
        cleaned = str(item) if isinstance(item, int | float) and not isinstance(item, bool) else _string(item).strip()
        if cleaned:
            result.append(_cut(cleaned, limit, info))
    if len(result) > count:
        note_altered(info)
    return result[:count]


def _cut(value: str, limit: int, info: ValidationInfo) -> str:
    if len(value) > limit:
        note_altered(info)
    return value[:limit]


def _first(value: dict[str, Any], count: int, info: ValidationInfo) -> dict[str, Any]:
    if len(value) > count:
        note_altered(info)
    return dict(list(value.items())[:count])
