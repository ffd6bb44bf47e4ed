"""AskNews credits, by billing period and by day. No update is lost, however many workers reserve at once."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.upserts import insert_into
from flows.polling.storage.tables import CreditDay, CreditPeriod

_DAYS = table_of(CreditDay)
# The rate of spending is that of the last whole days.
RATE_DAYS = 7


@dataclass(frozen=True)
class Credits:
    """What a billing period has cost: `used` for certain (or reserved), and `uncertain`, of calls of unknown fate."""

    used: int = 0
    uncertain: int = 0


async def reserve_credits(
    connection: AsyncConnection, period_start: date, credits: int, limit: int, *, most_uncertain: int = 0
) -> bool:
    """Reserve `credits` of the period's `limit`, or return False, and reserve nothing, if that would exceed it.

    What is uncertain counts up to `most_uncertain`. One conditional UPDATE: whoever comes second sees what the first
    has taken.
    """
    await _ensure_period(connection, period_start)
    uncertain = case((CreditPeriod.uncertain > most_uncertain, most_uncertain), else_=CreditPeriod.uncertain)
    result = await connection.execute(
        update(CreditPeriod)
        .where(CreditPeriod.period_start == period_start, CreditPeriod.used + uncertain + credits <= limit)
        .values(used=CreditPeriod.used + credits)
    )
    return result.rowcount == 1


async def settle_credits(
    connection: AsyncConnection, period_start: date, reserved: int, actual: int, *, uncertain: int = 0
) -> None:
    """Replace `reserved` credits by what the call really cost, which may be more, and by what it may have cost."""
    await _ensure_period(connection, period_start)
    settled = CreditPeriod.used - reserved + actual
    await connection.execute(
        update(CreditPeriod)
        .where(CreditPeriod.period_start == period_start)
        .values(used=case((settled < 0, 0), else_=settled), uncertain=CreditPeriod.uncertain + uncertain)
    )


async def read_credits(connection: AsyncConnection, period_start: date) -> Credits:
    """Return what was spent or is reserved in the period; nothing before its first call."""
    rows = await connection.execute(
        select(CreditPeriod.used, CreditPeriod.uncertain).where(CreditPeriod.period_start == period_start)
    )
    row = rows.first()
    return Credits() if row is None else Credits(row.used, row.uncertain)


async def note_spent(connection: AsyncConnection, day: date, job_name: str, credits: int) -> None:
    """Count what a job has spent on a day."""
    await connection.execute(
        insert_into(connection, CreditDay)
        .values(day=day, job_name=job_name, used=credits)
        .on_conflict_do_update(index_elements=["day", "job_name"], set_={"used": _DAYS.c.used + credits})
    )


async def spent_a_day(connection: AsyncConnection, today: date, job_name: str | None = None) -> float:
    """Return what one job, or all, spent on an average day of the last week, today excepted; 0 if nothing is known."""
    since = today - timedelta(days=RATE_DAYS)
    query = select(func.sum(_DAYS.c.used), func.min(_DAYS.c.day)).where(_DAYS.c.day >= since, _DAYS.c.day < today)
    if job_name is not None:
        query = query.where(_DAYS.c.job_name == job_name)
    used, first = (await connection.execute(query)).one()
    return 0.0 if used is None else int(used) / (today - first).days


async def _ensure_period(connection: AsyncConnection, period_start: date) -> None:
    await connection.execute(
        insert_into(connection, CreditPeriod)
        .values(period_start=period_start, used=0)
        .on_conflict_do_nothing(index_elements=["period_start"])
    )
