"""What is remembered between a job's runs that fail: how many, and when AskNews wants to be asked again."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.upserts import insert_into
from flows.polling.storage.tables import SourceOutage

_TABLE = table_of(SourceOutage)


async def read_outage(connection: AsyncConnection, job_name: str) -> tuple[int, datetime | None]:
    """Return how many runs have failed in a row, and until when AskNews does not want to be asked."""
    rows = await connection.execute(
        select(_TABLE.c.failed_runs, _TABLE.c.retry_at).where(_TABLE.c.job_name == job_name)
    )
    row = rows.first()
    return (0, None) if row is None else (row.failed_runs, row.retry_at)


async def note_failed_run(
    connection: AsyncConnection, job_name: str, *, retry_at: datetime | None, is_repeated: bool
) -> None:
    """Note that a run failed. A run that is repeated (`is_repeated`) was counted when it failed at first."""
    more = 0 if is_repeated else 1
    await connection.execute(
        insert_into(connection, SourceOutage)
        .values(job_name=job_name, failed_runs=1, retry_at=retry_at)
        .on_conflict_do_update(
            index_elements=["job_name"], set_={"failed_runs": _TABLE.c.failed_runs + more, "retry_at": retry_at}
        )
    )


async def end_outage(connection: AsyncConnection, job_name: str) -> None:
    """Forget the failed runs: one has succeeded."""
    await connection.execute(delete(_TABLE).where(_TABLE.c.job_name == job_name))
