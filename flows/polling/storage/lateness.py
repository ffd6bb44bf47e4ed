"""How late AskNews' index is: how many articles became visible how long after their crawl."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.upserts import insert_into
from flows.polling.storage.tables import LateArticles

# In minutes, rounded up; 0 where only a reading of unknown age had missed it. Longer lateness is counted in the last.
CLASSES = (0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 180, 240, 360, 720, 1440)
REMEMBERED = timedelta(days=7)

_TABLE = table_of(LateArticles)


async def note_late(connection: AsyncConnection, day: date, lateness: Iterable[timedelta]) -> None:
    """Count articles by how late they became visible at least."""
    found = Counter(_class_of(late) for late in lateness)
    for minutes, count in sorted(found.items()):
        await connection.execute(
            insert_into(connection, LateArticles)
            .values(day=day, minutes=minutes, found=count)
            .on_conflict_do_update(index_elements=["day", "minutes"], set_={"found": _TABLE.c.found + count})
        )


async def read_late(connection: AsyncConnection, now: datetime) -> dict[int, int]:
    """Return how many articles of the last days were late, by class: minutes, rounded up."""
    rows = await connection.execute(
        select(_TABLE.c.minutes, func.sum(_TABLE.c.found))
        .where(_TABLE.c.day > (now - REMEMBERED).date())
        .group_by(_TABLE.c.minutes)
        .order_by(_TABLE.c.minutes)
    )
    return {minutes: int(found) for minutes, found in rows}


def _class_of(late: timedelta) -> int:
    minutes = late.total_seconds() / 60
    return next((each for each in CLASSES if minutes <= each), CLASSES[-1])
