"""Validators for single fields of AskNews' JSON: strict where a database would refuse, tolerant everywhere else.

Rules, for every field:
- What a record cannot do without (its id, its time) is refused if it is not usable, and the record with
  it. Every other field is a side field: an odd value becomes the field's default.
- A side field that was odd, or was cut to its limit, is named in the validation context (a set of names), so that the
  record can say so. A null counts as absent, and is not odd.
- NUL characters are removed and lone surrogates replaced: PostgreSQL stores neither.
- Whole numbers fit a 32-bit column, numbers are finite, and a bool is not a number.
- Dates carry their offset, or are Unix seconds; they become aware UTC. A date without an offset is odd, because
  guessing its zone would move an article out of its window.

What is known of AskNews' values: a `classification` that is a string or a list (seen), null in optional fields (doc),
dates with an offset and in Unix seconds (seen), identifiers in text (doc). All else that is tolerated here, such as a
whole number written as 1.0 or a null within a list, is inferred.
"""

# pydantic collects ValueError, not TypeError.
# ruff: noqa: TRY004

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from pydantic import BeforeValidator, ValidationInfo

LARGEST_INTEGER = 2**31 - 1
# Outside, a date is a placeholder or a mistake of units (milliseconds taken for seconds).
EARLIEST_YEAR, LATEST_YEAR = 1900, 2199

_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return `text` as a database driver can encode it: without NUL characters, and with U+FFFD for lone surrogates."""
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))


def note_altered(info: ValidationInfo) -> None:
    """Note that the field under validation was cut or dropped."""
    context: object = info.context
    if isinstance(context, set) and info.field_name is not None:
        cast(set[str], context).add(info.field_name)


def side(validate: Callable[[object], object], otherwise: Any = None) -> BeforeValidator:
    """Accept a side field: keep what `validate` makes of it, or `otherwise`, noted, where that raises ValueError."""

    def tolerate(value: object, info: ValidationInfo) -> object:
        if value is None:
            return otherwise
        try:
            return validate(value)
        except ValueError:
            note_altered(info)
            return otherwise

    return BeforeValidator(tolerate)


def text(limit: int, otherwise: str | None = "") -> BeforeValidator:
    """Accept a string, stripped and cut to `limit` characters; put `otherwise` for a blank one or another type."""

    def validate(value: object, info: ValidationInfo) -> str | None:
        if not isinstance(value, str):
            if value is not None:
                note_altered(info)
            return otherwise
        return cut(clean(value).strip(), limit, info) or otherwise

    return BeforeValidator(validate)


def identifier(limit: int) -> BeforeValidator:
    """Accept a string, UUID or whole number that identifies something; refuse a blank or over-long one: none is cut."""

    def validate(value: object) -> str:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        cleaned = str(value) if is_number or isinstance(value, UUID) else string(value).strip()
        if not 0 < len(cleaned) <= limit:
            raise ValueError(f"is blank or longer than {limit} characters")
        return cleaned

    return BeforeValidator(validate)


def whole_number(value: object) -> int:
    """Accept a whole number of at most 32 bits; 1.0 counts as 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number")
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError("is a whole number of more than 32 bits")
    return value


def finite_number(value: object) -> float:
    """Accept a finite number, as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def moment(value: object) -> datetime:
    """Accept an ISO 8601 string with an offset, Unix seconds, or an aware datetime, as an aware UTC datetime."""
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
    """Accept a UUID, or its string."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(string(value))
    except ValueError:
        raise ValueError("is not a UUID") from None


def string(value: object) -> str:
    """Accept a string, cleaned."""
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return clean(value)


def cut(value: str, limit: int, info: ValidationInfo) -> str:
    """Cut `value` to `limit` characters, and note where that shortens it."""
    if len(value) > limit:
        note_altered(info)
    return value[:limit]
