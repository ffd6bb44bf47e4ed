"""Stretches of time that a poll could not read whole, until a later run has read them."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.clock import database_now
from flows.database.upserts import insert_into
from flows.polling.storage import tables
from flows.polling.storage.rejected import RejectedRow, store_rejected

_TABLE = table_of(tables.DeferredPage)
# For the release before, which asks by row numbers: a page at 0 that is longer than any window.
_WHOLE = {"page_offset": 0, "page_size": 1_000_000}


@dataclass(frozen=True)
class DeferredStretch:
    """Which stretch of time, of which job and scope."""

    job_name: str
    scope: str
    window_start: datetime
    window_end: datetime


async def defer_stretch(connection: AsyncConnection, stretch: DeferredStretch, *, reason: str) -> None:
    """Note that `stretch` was not read whole: for the first time, or once more if another run has noted it."""
    await connection.execute(
        insert_into(connection, tables.DeferredPage)
        .values(**asdict(stretch), **_WHOLE, reason=reason, attempts=1)
        .on_conflict_do_update(
            index_elements=_TABLE.primary_key.columns, set_={"attempts": _TABLE.c.attempts + 1, "reason": reason}
        )
    )


async def deferred_stretches(
    connection: AsyncConnection, job_name: str, scopes: Collection[str]
) -> list[DeferredStretch]:
    """Return the stretches of `scopes` to read again, the least often tried first, then the oldest."""
    rows = await connection.execute(
        select(*(_TABLE.c[name] for name in DeferredStretch.__dataclass_fields__))
        .where(_TABLE.c.job_name == job_name, _TABLE.c.scope.in_(scopes))
        .order_by(_TABLE.c.attempts, _TABLE.c.first_failed_at, _TABLE.c.scope, _TABLE.c.window_start)
    )
    # The release before may have left several pages of one stretch.
    return list(dict.fromkeys(DeferredStretch(**row) for row in rows.mappings()))


async def drop_stretch(connection: AsyncConnection, stretch: DeferredStretch) -> None:
    """Forget `stretch`: it was read whole, or is deferred in parts."""
    await connection.execute(delete(_TABLE).where(_is(stretch)))


async def split_stretch(
    connection: AsyncConnection, stretch: DeferredStretch, parts: Iterable[DeferredStretch], *, reason: str
) -> None:
    """Put `parts` in the place of `stretch`. They have been waiting for as long as it has."""
    since = await connection.scalar(select(_TABLE.c.first_failed_at).where(_is(stretch)))
    await drop_stretch(connection, stretch)
    waiting = {} if since is None else {"first_failed_at": since}
    for part in parts:
        await connection.execute(
            insert_into(connection, tables.DeferredPage)
            .values(**asdict(part), **_WHOLE, **waiting, reason=reason, attempts=1)
            .on_conflict_do_nothing(index_elements=_TABLE.primary_key.columns)
        )


async def note_stretch_failed(
    connection: AsyncConnection, stretch: DeferredStretch, *, reason: str, give_up_after: timedelta
) -> bool:
    """Count another failure of `stretch`. Return whether it was given up, and moved to the rejected records."""
    await connection.execute(update(_TABLE).where(_is(stretch)).values(attempts=_TABLE.c.attempts + 1, reason=reason))
    first_failed_at = await connection.scalar(select(_TABLE.c.first_failed_at).where(_is(stretch)))
    if first_failed_at is None or await database_now(connection) - first_failed_at < give_up_after:
        return False
    where = json.dumps(asdict(stretch), default=str, sort_keys=True)
    await store_rejected(connection, [RejectedRow(kind="stretch", external_id=where, reason=reason, raw=where)])
    await drop_stretch(connection, stretch)
    return True


def _is(stretch: DeferredStretch) -> ColumnElement[bool]:
    return and_(*(_TABLE.c[name] == value for name, value in asdict(stretch).items()))
