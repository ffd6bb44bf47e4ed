"""The tracked entities, and the links from articles and stories to them."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from uuid import UUID

from sqlalchemy import Select, Table, and_, bindparam, delete, select, tuple_
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
    """Return the id of every known entity by name."""
    rows = await connection.execute(select(TrackedEntity.name, TrackedEntity.id))
    return {row.name: row.id for row in rows}


async def write_links(
    connection: AsyncConnection,
    model: type[Base],
    links: Mapping[UUID, Collection[str]],
    *,
    linked: Collection[UUID],
    replaced: Collection[UUID] = (),
) -> frozenset[UUID]:
    """Link each record to the named entities, and return the records whose links changed.

    `model` is the table of links; its first column is the record's id. `linked` are the records that may have links
    already; those of `replaced` lose their links to entities that are not named. The caller holds locks on the records'
    own rows, so that nobody else changes the same links.
    Raises LookupError if an entity is unknown.
    """
    table = table_of(model)
    record, entity = table.primary_key.columns
    ids: dict[str, int] = {}
    known: set[tuple[UUID, int]] = set()
    for name, entity_id, record_id in await connection.execute(_entities_and_links(table), {"linked": list(linked)}):
        ids[name] = entity_id
        if record_id is not None:
            known.add((record_id, entity_id))
    if unknown := sorted({name for names in links.values() for name in names} - ids.keys()):
        raise LookupError(f"Entities that were never seeded: {', '.join(unknown)}. Run `vibecheck apply`.")
    wanted = {(record_id, ids[name]) for record_id, names in links.items() for name in names}
    stale = sorted(link for link in known - wanted if link[0] in replaced)
    if stale:
        await connection.execute(delete(table).where(tuple_(record, entity).in_(stale)))
    missing = [{record.name: record_id, entity.name: entity_id} for record_id, entity_id in wanted - known]
    added = await upsert(connection, model, missing)
    return frozenset({record_id for record_id, _ in stale} | {record_id for record_id, _ in added.inserted})


@cache
def _entities_and_links(table: Table) -> Select[str, int, UUID | None]:
    """Every entity with each of the `linked` records that is linked to it, or with none."""
    record, entity = table.primary_key.columns
    is_linked = and_(entity == TrackedEntity.id, record.in_(bindparam("linked", expanding=True)))
    return select(TrackedEntity.name, TrackedEntity.id, record).outerjoin(table, is_linked)
