"""What comes back when the database is emptied, and the server is kept."""

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.base import Base
from flows.monitoring.log.rows import LogRow
from tests.monitoring.reconcile.rounds import JOB, round_of, rows_of
from tests.support.fake_prefect import START, FakePrefect

HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)


def told(row: LogRow) -> tuple[str, str]:
    return str(row.scheduled_for), row.status


async def test_what_ran_since_the_last_change_is_written_again(prefect: FakePrefect, database: AsyncEngine) -> None:
    changed = START + 2 * HOUR
    for tick in (START + QUARTER, START + HOUR, changed + QUARTER, changed + HOUR):
        prefect.run(JOB, tick)
    prefect.now = changed
    await round_of(prefect, database)
    prefect.deployments[0]["updated"] = changed.isoformat()
    prefect.now = changed + HOUR + QUARTER / 3
    await round_of(prefect, database)
    before = await rows_of(database)
    assert [row.status for row in before].count("success") == 4

    async with database.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            await connection.execute(delete(table))
    done = await round_of(prefect, database)

    assert not done.is_behind
    # Since when a job was expected before its last change, only the database knew.
    assert [told(row) for row in await rows_of(database)] == [
        told(row) for row in before if row.scheduled_for is not None and row.scheduled_for > changed
    ]
