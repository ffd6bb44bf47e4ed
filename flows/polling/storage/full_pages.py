"""The lengths of pages that were followed by another one, and of the longest: what is known of each plan's cap."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import insert_into
from flows.polling.storage.tables import FullPage

# A page may have been cut short once: what was not seen for so long is forgotten.
KEPT = timedelta(days=7)
# What is seen again is noted as often as that.
REFRESHED_AFTER = timedelta(days=1)
# Behind an endpoint's name: its longest page, whether it was followed or not.
_LONGEST = ", longest"


async def last_plan(connection: AsyncConnection, endpoint: str) -> str | None:
    """Return the plan of the endpoint's last page of a length that was noted, None if there was none."""
    endpoints = (endpoint, endpoint + _LONGEST)
    return await connection.scalar(
        select(FullPage.plan).where(FullPage.endpoint.in_(endpoints)).order_by(FullPage.seen_at.desc()).limit(1)
    )


async def read_full_page(
    connection: AsyncConnection, plan: str, endpoint: str, asked: int, now: datetime
) -> int | None:
    """Return the fewest rows of a page that was followed by another one; None if none is known.

    A page with fewer rows is a window's last one.
    """
    return await connection.scalar(
        select(func.min(FullPage.fetched)).where(
            FullPage.plan == plan,
            FullPage.endpoint == endpoint,
            FullPage.asked == asked,
            FullPage.seen_at > now - KEPT,
        )
    )


async def note_full_page(
    connection: AsyncConnection, plan: str, endpoint: str, asked: int, fetched: int, now: datetime
) -> None:
    """Note that a page of `fetched` rows was followed by another one."""
    await connection.execute(
        insert_into(connection, FullPage)
        .values(plan=plan, endpoint=endpoint, asked=asked, fetched=fetched, seen_at=now)
        .on_conflict_do_update(
            index_elements=["plan", "endpoint", "asked", "fetched"],
            set_={"seen_at": now},
            where=FullPage.seen_at < now - REFRESHED_AFTER,
        )
    )


async def read_longest_page(connection: AsyncConnection, plan: str, endpoint: str, asked: int, now: datetime) -> int:
    """Return the most rows of any page, 0 if none is known: the cap is at least that."""
    longest = await connection.scalar(
        select(func.max(FullPage.fetched)).where(
            FullPage.plan == plan,
            FullPage.endpoint == endpoint + _LONGEST,
            FullPage.asked == asked,
            FullPage.seen_at > now - KEPT,
        )
    )
    return longest or 0


async def note_longest_page(
    connection: AsyncConnection, plan: str, endpoint: str, asked: int, fetched: int, now: datetime
) -> None:
    """Note that a page had `fetched` rows, and that none is known with more."""
    await note_full_page(connection, plan, endpoint + _LONGEST, asked, fetched, now)
