"""AskNews credits, by billing period. No update is lost, however many workers reserve at once."""

from datetime import date

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.upserts import insert_into
from flows.polling.storage.tables import CreditPeriod


async def reserve_credits(connection: AsyncConnection, period_start: date, credits: int, limit: int) -> bool:
    """Reserve `credits` of the period's `limit`, or give False, and reserve nothing, if that would exceed it.

    One conditional UPDATE: whoever comes second sees what the first has taken.
    """
    await _ensure_period(connection, period_start)
    result = await connection.execute(
        update(CreditPeriod)
        .where(CreditPeriod.period_start == period_start, CreditPeriod.used + credits <= limit)
        .values(used=CreditPeriod.used + credits)
    )
    return result.rowcount == 1


async def settle_credits(connection: AsyncConnection, period_start: date, reserved: int, actual: int) -> None:
    """Replace `reserved` credits by what the call really cost, which may be more."""
    await _ensure_period(connection, period_start)
    settled = CreditPeriod.used - reserved + actual
    await connection.execute(
        update(CreditPeriod)
        .where(CreditPeriod.period_start == period_start)
        .values(used=case((settled < 0, 0), else_=settled))
    )


async def read_credits(connection: AsyncConnection, period_start: date) -> int:
    """The credits that were spent or are reserved in the period; 0 before its first call."""
    used = await connection.scalar(select(CreditPeriod.used).where(CreditPeriod.period_start == period_start))
    return used or 0


async def _ensure_period(connection: AsyncConnection, period_start: date) -> None:
    await connection.execute(
        insert_into(connection, CreditPeriod)
        .values(period_start=period_start, used=0)
        .on_conflict_do_nothing(index_elements=["period_start"])
    )
