"""Bulk "insert, or update what changed", with counts that come from the statement that did it.

A row that is stored already, as it is, is not written. The counts are right whoever else writes: on PostgreSQL each
statement says of each row what it did, on SQLite nobody else can write during our transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Executable,
    Integer,
    Table,
    bindparam,
    column,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import Base, table_of
from flows.database.types import Json, Values, clean_text, utc_now

# Set by every update where a table has it.
CHANGED_AT = "changed_at"
# The key in a text column's `info` for what is stored there where the sender has nothing to say, if it is not "".
EMPTY = "empty"
# Rows in one statement; SQLite takes at most 32,766 values in one.
BATCH = 500

Row = Mapping[str, Any]
Key = tuple[Any, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class UpsertCounts:
    """What became of the rows that were given. Of rows with one key in one batch, all but one count as unchanged."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    new: Set[object] = field(default=frozenset(), compare=False, repr=False)
    """The keys of those that were inserted."""

    @classmethod
    def of(cls, rows: int, *, inserted: Set[object], touched: Set[object]) -> "UpsertCounts":
        """Count `rows` records, some of them new, some of them changed in a row or in what belongs to it."""
        updated = len(touched - inserted)
        return cls(len(inserted), updated, rows - len(inserted) - updated, new=inserted)


@dataclass(frozen=True)
class Upserted:
    """The keys of the rows that were written."""

    inserted: frozenset[Key]
    updated: frozenset[Key]


async def upsert(
    connection: AsyncConnection,
    model: type[Base],
    rows: Iterable[Row],
    *,
    key: Sequence[str] | None = None,
    optional: Collection[str] = (),
) -> Upserted:
    """Insert `rows` into the model's table, or update those whose `key` (default: the primary key) is there already.

    A row holds a value for each column but those that the database fills; what else it holds is left out. Of two rows
    with one key the later counts. Rows are locked in the order of their keys, so that two writers cannot deadlock.

    `optional` are columns whose empty value (null, or where there is no null, no text or the column's `EMPTY`, no
    items, a count of 0) means that the sender left it out: it never overwrites what is stored.
    """
    table = table_of(model)
    keys = tuple(key or (item.name for item in table.primary_key))
    by_key = {tuple(_storable(row[name]) for name in keys): row for row in rows}
    ordered = [by_key[each] for each in sorted(by_key)]
    write = _write_postgresql if connection.dialect.name == "postgresql" else _write_sqlite
    inserted: set[Key] = set()
    updated: set[Key] = set()
    for start in range(0, len(ordered), BATCH):
        for written, is_new in await write(connection, table, keys, tuple(optional), ordered[start : start + BATCH]):
            (inserted if is_new else updated).add(written)
    return Upserted(frozenset(inserted), frozenset(updated))


def _storable(value: object) -> object:
    """A key's value as the database will see it: two keys may differ before and not after. In its order, too."""
    match value:
        case str():
            return clean_text(value)
        case UUID():
            return value.int  # in the same order, and compared ten times as fast
        case _:
            return value


def insert_into(connection: AsyncConnection, model: type[Base]) -> PostgresqlInsert:
    """Return the connection's own INSERT, which knows ON CONFLICT (SQLite's has what we use of PostgreSQL's)."""
    if connection.dialect.name == "postgresql":
        return insert_postgresql(table_of(model))
    return cast(PostgresqlInsert, insert_sqlite(table_of(model)))


async def _write_postgresql(
    connection: AsyncConnection, table: Table, key: Names, optional: Names, rows: Sequence[Row]
) -> list[tuple[Key, bool]]:
    statement = _statement_postgresql(table, key, optional)
    result = await connection.execute(statement, {name: [row[name] for row in rows] for name in _names(table)})
    return [(tuple(row[:-1]), row[-1]) for row in result]


async def _write_sqlite(
    connection: AsyncConnection, table: Table, key: Names, optional: Names, rows: Sequence[Row]
) -> list[tuple[Key, bool]]:
    key_columns = [table.c[name] for name in key]
    keys = [tuple(row[name] for name in key) for row in rows]
    known = await connection.execute(select(*key_columns).where(tuple_(*key_columns).in_(keys)))
    before = {tuple(row) for row in known}
    names = _names(table)
    values = [{name: row[name] for name in names} for row in rows]
    result = await connection.execute(_statement_sqlite(table, key, optional), values)
    return [(tuple(row), tuple(row) not in before) for row in result]


def _names(table: Table) -> list[str]:
    """The columns that a row has a value for."""
    return [item.name for item in table.columns if item.server_default is None]


# Remembered, as making a statement of so many columns takes longer than executing it for a few rows.
@cache
def _statement_postgresql(table: Table, key: Names, optional: Names) -> Executable:
    names = _names(table)
    # One array for each column: a statement of constant text, however many rows, so that it is prepared only once.
    arrays = [bindparam(name, type_=Values(table.c[name].type)) for name in names]
    columns = [column(name, table.c[name].type) for name in names]
    source = func.unnest(*arrays).table_valued(*columns).render_derived()
    statement = insert_postgresql(table).from_select(names, select(*source.c))
    # A row version that an INSERT made was never locked by anybody; one that ON CONFLICT made was, by us.
    is_new = literal_column("xmax = 0", Boolean)
    return _on_conflict(statement, table, key, optional).returning(*(table.c[name] for name in key), is_new)


@cache
def _statement_sqlite(table: Table, key: Names, optional: Names) -> Executable:
    statement = cast(PostgresqlInsert, insert_sqlite(table))
    return _on_conflict(statement, table, key, optional).returning(*(table.c[name] for name in key))


def _on_conflict(statement: PostgresqlInsert, table: Table, key: Names, optional: Names) -> PostgresqlInsert:
    values = [name for name in _names(table) if name not in key]
    if not values:
        return statement.on_conflict_do_nothing(index_elements=list(key))
    new = statement.excluded
    changed: dict[str, ColumnElement[Any]] = {
        name: func.coalesce(_null_if_empty(table.c[name], new[name]), table.c[name]) if name in optional else new[name]
        for name in values
    }
    changes: dict[str, Any] = dict(changed)
    if CHANGED_AT in table.c:
        changes[CHANGED_AT] = utc_now()
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_=changes,
        where=or_(*(table.c[name].is_distinct_from(value) for name, value in changed.items())),
    )


def _null_if_empty(stored: Column[Any], sent: ColumnElement[Any]) -> ColumnElement[Any]:
    """`sent`, or null where it is the empty value of a column that takes no null."""
    if stored.nullable:
        return sent
    match stored.type:
        case Json():
            return func.nullif(func.nullif(sent, literal_column("'[]'")), literal_column("'{}'"))
        case Integer():
            return func.nullif(sent, literal_column("0"))
        case _:
            return func.nullif(sent, literal_column(f"'{stored.info.get(EMPTY, '')}'"))
