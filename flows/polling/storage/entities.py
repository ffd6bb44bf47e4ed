"""The tracked entities, and the links from articles and stories to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import Base, table_of
from flows.database.upserts import upsert
from flows.polling.storage.tables import TrackedEntity


async def seed_entities(connection: AsyncConnection, entities: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Insert the (name, category) pairs, or correct their category, and return the id of every known entity by name.

    Entities that are no longer tracked stay, with what is linked to them.
    """
    rows = [{"name": name, "category": category} for name, category in entities]
    await upsert(connection, TrackedEntity, rows, key=["name"])
    return await entity_ids(connection)


async def entity_ids(connection: AsyncConnection) -> dict[str, int]:
    """The id of every known entity by name."""
    rows = await connection.execute(select(TrackedEntity.name, TrackedEntity.id))
    return {row.name: row.id for row in rows}


async def write_links(
    connection: AsyncConnection,
    model: type[Base],
    links: Mapping[UUID, Collection[str]],
    *,
    replace: bool,
) -> frozenset[UUID]:
    """Link each record to the named entities, and return the records whose links changed.

    `model` is the table of links; its first column is the record's id. With `replace`, links to entities that are not
    named go. The caller holds locks on the records' own rows, so that nobody else changes the same links.
    Raises LookupError if an entity is unknown.
    """
    ids = await entity_ids(connection)
    if unknown := sorted({name for names in links.values() for name in names} - ids.keys()):
        raise LookupError(f"Entities that were never seeded: {', '.join(unknown)}. Run `vibecheck apply`.")
    table = table_of(model)
    record, entity = table.primary_key.columns
    wanted = {(record_id, ids[name]) for record_id, names in links.items() for name in names}
    changed: set[UUID] = set()
    if replace:
        known = await _known_links(connection, table, list(links))
        if stale := sorted(known - wanted):
            await connection.execute(delete(table).where(tuple_(record, entity).in_(stale)))
            changed |= {record_id for record_id, _ in stale}
    added = await upsert(
        connection,
        model,
        [{record.name: record_id, entity.name: entity_id} for record_id, entity_id in wanted],
    )
    return frozenset(changed | {record_id for record_id, _ in added.inserted})


async def _known_links(connection: AsyncConnection, table: Table, ids: Sequence[UUID]) -> set[tuple[UUID, int]]:
    record, entity = table.primary_key.columns
    rows = await connection.execute(select(record, entity).where(record.in_(ids)))
    return {(row[0], row[1]) for row in rows}
