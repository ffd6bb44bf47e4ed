"""How far each job has read, on the whole (scope '') or for one entity."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.database.types import utc_now
from flows.database.upserts import insert_into
from flows.polling.storage.tables import Cursor

_TABLE = table_of(Cursor)


@dataclass(frozen=True)
class CursorRow:
    """Everything before `watermark` was read (None: nothing yet), then comes a window that was left unfinished.

    Everything before `settled_until` was read once more after it had settled; `swept_at` is the time of the last sweep.
    The last window began at `read_from`, None if it was not read whole.
    """

    watermark: datetime | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    next_offset: str | None = None
    settled_until: datetime | None = None
    swept_at: datetime | None = None
    read_from: datetime | None = None


async def read_cursor(connection: AsyncConnection, job_name: str, scope: str = "") -> CursorRow | None:
    """Return the cursor of a job and scope, or None before its first page."""
    rows = await connection.execute(
        select(*(_TABLE.c[name] for name in CursorRow.__dataclass_fields__)).where(
            Cursor.job_name == job_name, Cursor.scope == scope
        )
    )
    row = rows.mappings().first()
    return None if row is None else CursorRow(**row)


async def write_cursor(connection: AsyncConnection, job_name: str, scope: str, cursor: CursorRow) -> None:
    """Set the cursor of a job and scope; the scope goes to the end of the queue in `stalest_scopes`."""
    values = {**asdict(cursor), "updated_at": utc_now()}
    await connection.execute(
        insert_into(connection, Cursor)
        .values(job_name=job_name, scope=scope, **values)
        .on_conflict_do_update(index_elements=["job_name", "scope"], set_=values)
    )


async def move_cursor(
    connection: AsyncConnection, job_name: str, scope: str, *, known: CursorRow | None, cursor: CursorRow
) -> bool:
    """Set the cursor if it still is as `known` (None: there is none yet), and return whether it was.

    So a run that was stopped for a while, and goes on, cannot set back what another run has reached since.
    """
    values = {**asdict(cursor), "updated_at": utc_now()}
    if known is None:
        statement = insert_into(connection, Cursor).values(job_name=job_name, scope=scope, **values)
        result = await connection.execute(statement.on_conflict_do_nothing(index_elements=["job_name", "scope"]))
    else:
        is_known = (_TABLE.c[name].is_not_distinct_from(value) for name, value in asdict(known).items())
        result = await connection.execute(
            update(_TABLE).where(_TABLE.c.job_name == job_name, _TABLE.c.scope == scope, *is_known).values(**values)
        )
    return result.rowcount == 1


async def touch_cursor(connection: AsyncConnection, job_name: str, scope: str) -> None:
    """Send the scope to the end of the queue, as after a try that failed; how far it was read stays as it is."""
    await connection.execute(
        insert_into(connection, Cursor)
        .values(job_name=job_name, scope=scope)
        .on_conflict_do_update(index_elements=["job_name", "scope"], set_={"updated_at": utc_now()})
    )


async def stalest_scopes(connection: AsyncConnection, job_name: str, scopes: Sequence[str], limit: int) -> list[str]:
    """Return the `limit` scopes whose turn it is: those never tried first, then the ones tried longest ago.

    One that was tried ahead of now, as a wrong clock leaves it, comes before these: its turn would not come until then.
    """
    now = await database_now(connection)
    rows = await connection.execute(
        select(Cursor.scope, Cursor.updated_at).where(Cursor.job_name == job_name, Cursor.scope.in_(scopes))
    )
    tried: dict[str, datetime] = {row.scope: row.updated_at for row in rows}
    never = [scope for scope in scopes if scope not in tried]
    return [*never, *sorted(tried, key=lambda scope: (tried[scope] <= now, tried[scope]))][:limit]
