"""How far each job has read, on the whole (scope '') or for one entity."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.types import utc_now
from flows.database.upserts import insert_into
from flows.polling.storage.tables import Cursor


@dataclass(frozen=True)
class CursorRow:
    """Everything before `watermark` was read (None: nothing yet); the rest is a window that was left unfinished."""

    watermark: datetime | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    next_offset: str | None = None


async def read_cursor(connection: AsyncConnection, job_name: str, scope: str = "") -> CursorRow | None:
    """The cursor of a job and scope, or None before its first page."""
    rows = await connection.execute(
        select(Cursor.watermark, Cursor.window_start, Cursor.window_end, Cursor.next_offset).where(
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


async def touch_cursor(connection: AsyncConnection, job_name: str, scope: str) -> None:
    """Send the scope to the end of the queue, as after a try that failed; how far it was read stays as it is."""
    await connection.execute(
        insert_into(connection, Cursor)
        .values(job_name=job_name, scope=scope)
        .on_conflict_do_update(index_elements=["job_name", "scope"], set_={"updated_at": utc_now()})
    )


async def stalest_scopes(connection: AsyncConnection, job_name: str, scopes: Sequence[str], limit: int) -> list[str]:
    """The `limit` scopes whose turn it is: those never tried first, then the ones tried longest ago."""
    rows = await connection.execute(
        select(Cursor.scope, Cursor.updated_at).where(Cursor.job_name == job_name, Cursor.scope.in_(scopes))
    )
    tried: dict[str, datetime] = {row.scope: row.updated_at for row in rows}
    never = [scope for scope in scopes if scope not in tried]
    return [*never, *sorted(tried, key=tried.__getitem__)][:limit]
