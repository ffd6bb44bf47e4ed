"""Pages that a poll stepped over because they could not be fetched, until a later run has them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.database.upserts import insert_into
from flows.polling.storage import tables
from flows.polling.storage.rejected import RejectedRow, store_rejected

_TABLE = table_of(tables.DeferredPage)


@dataclass(frozen=True)
class DeferredPage:
    """Which page: of which job and scope, in which window, at which row, and how many rows it covers."""

    job_name: str
    scope: str
    window_start: datetime
    window_end: datetime
    page_offset: int
    page_size: int


async def defer_page(connection: AsyncConnection, page: DeferredPage, *, reason: str) -> None:
    """Note that `page` failed: for the first time, or once more if another run has noted it; the larger size counts."""
    statement = insert_into(connection, tables.DeferredPage).values(**asdict(page), reason=reason, attempts=1)
    known, noted = _TABLE.c.page_size, statement.excluded.page_size
    again = {
        "attempts": _TABLE.c.attempts + 1,
        "page_size": case((known < noted, noted), else_=known),
        "reason": reason,
    }
    await connection.execute(statement.on_conflict_do_update(index_elements=_TABLE.primary_key.columns, set_=again))


async def deferred_pages(connection: AsyncConnection, job_name: str, scopes: Collection[str]) -> Sequence[DeferredPage]:
    """The pages of `scopes` to ask for again, the least often tried first, then the oldest."""
    columns = [_TABLE.c[name] for name in DeferredPage.__dataclass_fields__]
    rows = await connection.execute(
        select(*columns)
        .where(_TABLE.c.job_name == job_name, _TABLE.c.scope.in_(scopes))
        .order_by(_TABLE.c.attempts, _TABLE.c.first_failed_at, _TABLE.c.scope, _TABLE.c.page_offset)
    )
    return [DeferredPage(**row) for row in rows.mappings()]


async def drop_deferred_page(connection: AsyncConnection, page: DeferredPage) -> None:
    """Forget `page`: it has been stored."""
    await connection.execute(delete(_TABLE).where(_is(page)))


async def note_deferred_page_failed(
    connection: AsyncConnection, page: DeferredPage, *, reason: str, give_up_after: timedelta
) -> bool:
    """Count another failure of `page`. Gives whether it was given up, and moved to the rejected records."""
    await connection.execute(update(_TABLE).where(_is(page)).values(attempts=_TABLE.c.attempts + 1, reason=reason))
    first_failed_at = await connection.scalar(select(_TABLE.c.first_failed_at).where(_is(page)))
    if first_failed_at is None or await database_now(connection) - first_failed_at < give_up_after:
        return False
    where = json.dumps(asdict(page), default=str, sort_keys=True)
    await store_rejected(connection, [RejectedRow(kind="page", external_id=where, reason=reason, raw=where)])
    await drop_deferred_page(connection, page)
    return True


def _is(page: DeferredPage) -> ColumnElement[bool]:
    return and_(
        _TABLE.c.job_name == page.job_name,
        _TABLE.c.scope == page.scope,
        _TABLE.c.window_start == page.window_start,
        _TABLE.c.window_end == page.window_end,
        _TABLE.c.page_offset == page.page_offset,
    )
