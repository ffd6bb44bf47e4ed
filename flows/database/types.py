"""Column types that behave alike on SQLite and PostgreSQL, and the cleaning that keeps hostile text from the drivers.

The `dialect` that some methods ignore is SQLAlchemy's signature.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import JSON, DateTime, Dialect, String, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# As json.dumps, without the call that looks up what it was made for.
_to_json = json.JSONEncoder().encode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` without what no database stores: NUL characters are removed, lone surrogates become U+FFFD."""
    return text if _is_clean(text) else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\x00", ""))


def _is_clean(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        # Of all text, UTF-8 lacks the surrogates alone.
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def clean_json(value: object) -> Any:
    """Return `value` in the one form in which both databases give it back unchanged.

    Text is cleaned, keys become text in sorted order, numbers that are whole become integers, NaN and the infinities
    (which JSON lacks) become null, and anything else that JSON lacks becomes its text.
    """
    match value:
        case list():
            items = cast("list[Any]", value)
            try:
                # Most are of text that needs nothing, which one look at all of it says.
                is_clean = _is_clean("".join(items))
            except TypeError:
                is_clean = False
            return items if is_clean else [clean_json(item) for item in items]
        case str():
            return clean_text(value)
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                return None
            return int(value) if value.is_integer() else value
        case tuple():
            return [clean_json(item) for item in cast("Sequence[object]", value)]
        case Mapping():
            mapping = cast("Mapping[object, object]", value)
            # One item for each key before they are sorted: two keys may differ in what is taken out alone.
            cleaned = {clean_text(str(key)): clean_json(item) for key, item in mapping.items()}
            return dict(sorted(cleaned.items()))
        case _:
            return clean_text(str(value))


def canonical_json(value: object) -> str:
    """Return the one text that stands for `value`, whatever the order of its keys."""
    return json.dumps(clean_json(value), ensure_ascii=False, separators=(",", ":"))


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware datetimes in, aware UTC datetimes out. A naive one raises ValueError instead of being guessed."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("A naive datetime cannot be stored: give it a timezone.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's
        if value is None:
            return None
        # SQLite stores no offset; what it holds was converted to UTC on the way in.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text of any length, cleaned on the way in by `clean_text`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's
        return None if value is None else clean_text(value)


class Identifier(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, and on SQLite the text with dashes that people copy from Prefect."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(36) if dialect.name == "sqlite" else Uuid())

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | str | None:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:  # noqa: ARG002  # SQLAlchemy's
        return UUID(value) if isinstance(value, str) else value


class Json(TypeDecorator[Any]):
    """A JSON value in canonical form, so that equal values compare as equal; JSONB on PostgreSQL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def process_bind_param(self, value: object, dialect: Dialect) -> Any:  # noqa: ARG002  # SQLAlchemy's
        return clean_json(value)


class Values(ARRAY[Any]):
    """Values of a column, in an array of one dimension, although a JSON value may be a list itself."""

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__(of, dimensions=1)

    def bind_processor(self, dialect: Dialect) -> Any:  # a function whose type SQLAlchemy does not export
        each = self.item_type.dialect_impl(dialect).bind_processor(dialect)

        def process(value: Sequence[Any] | None) -> list[Any]:
            values = value or []
            match self.item_type:
                case CleanText() if _is_clean("".join(filter(None, values))):
                    return list(values)
                case Json():
                    return [None if one is None else _to_json(clean_json(one)) for one in values]
                case _:
                    return list(values) if each is None else [each(one) for one in values]

        return process


class utc_now(FunctionElement[datetime]):  # noqa: N801  # reads as the SQL function that it is
    """The database's own clock, to the microsecond on PostgreSQL and to the millisecond on SQLite."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(utc_now, "postgresql")
def _utc_now_postgresql(_element: utc_now, _compiler: SQLCompiler, **_options: object) -> str:
    # The clock itself and not the transaction's start: a transaction may have waited for a lock.
    return "clock_timestamp()"


@compiles(utc_now, "sqlite")
def _utc_now_sqlite(_element: utc_now, _compiler: SQLCompiler, **_options: object) -> str:
    # Six digits after the point, as SQLAlchemy writes them, so that text order is time order.
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"
