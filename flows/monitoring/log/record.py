"""The one way to write the execution log: say what you know, and the row says what all know."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.monitoring.log.merge import CLAIMS, Closing, Fact, merge
from flows.monitoring.log.rows import (
    LogRow,
    insert_row,
    insert_rows,
    lock_row,
    lock_rows,
    update_row,
    update_rows,
)
from flows.monitoring.paging import pages

__all__ = ["Closing", "Fact", "record", "record_all"]


async def record(connection: AsyncConnection, fact: Fact) -> bool:
    """Merge `fact` into its execution's row, within the caller's transaction. Return whether the log changed.

    1. Insert the row if there is none; a row that another transaction is just inserting is waited for. Of an end, look
       for the row first: it was opened at the start.
    2. Otherwise lock the row, merge what it says with the fact, and write it if that says more.

    So two writers at once come one after the other, and order, repetition and delay do not matter.
    """
    row = _row_of(fact)
    is_likely_there = fact.closing is not None
    while is_likely_there or not await insert_row(connection, row):
        # None: there is no row, or it was there and was deleted since, for its age.
        if (stored := await lock_row(connection, fact.execution_id)) is not None:
            merged = _row_of(merge(_fact_of(stored), fact))
            if merged == stored:
                return False
            await update_row(connection, merged)
            return True
        is_likely_there = False
    return True


async def record_all(connection: AsyncConnection, facts: Iterable[Fact]) -> int:
    """Record each fact, in pages of statements, and return how many of them changed the log.

    In the order of their executions, so that two who record the same do not wait for each other.
    """
    changed = 0
    for page in pages(sorted(_joined(facts), key=lambda fact: fact.execution_id)):
        inserted = await insert_rows(connection, [_row_of(fact) for fact in page])
        known = [fact for fact in page if fact.execution_id not in inserted]
        stored = await lock_rows(connection, [fact.execution_id for fact in known]) if known else {}
        merged = {
            row.execution_id: _row_of(merge(_fact_of(row), fact))
            for fact in known
            if (row := stored.get(fact.execution_id)) is not None
        }
        news = [row for id_, row in merged.items() if row != stored[id_]]
        if news:
            await update_rows(connection, news)
        # Rows that were there and were deleted since, for their age.
        lost = [fact for fact in known if fact.execution_id not in stored]
        changed += len(inserted) + len(news) + sum([await record(connection, fact) for fact in lost])
    return changed


def _joined(facts: Iterable[Fact]) -> Iterable[Fact]:
    """One fact for each execution."""
    joined: dict[UUID, Fact] = {}
    for fact in facts:
        known = joined.get(fact.execution_id)
        joined[fact.execution_id] = fact if known is None else merge(known, fact)
    return joined.values()


def _row_of(fact: Fact) -> LogRow:
    closing = fact.closing
    details = {} if closing is None else dict(closing.details)
    if fact.claims:
        details[CLAIMS] = dict(fact.claims)
    return LogRow(
        execution_id=fact.execution_id,
        job_name=fact.job_name,
        status=fact.status,
        scheduled_for=fact.scheduled_for,
        attempt=fact.attempt,
        started_at=fact.started_at,
        completed_at=closing and closing.completed_at,
        # Clocks differ between hosts: an execution that seems to end before it began took no time.
        duration_seconds=None
        if closing is None
        else max(0.0, (closing.completed_at - fact.started_at).total_seconds()),
        error_message=closing and closing.error_message,
        details=details,
        closed_by=closing and closing.closed_by,
    )


def _fact_of(row: LogRow) -> Fact:
    closing = None
    if row.closed_by is not None and row.completed_at is not None:
        closing = Closing(row.status, row.completed_at, row.closed_by, row.error_message, row.details)
    return Fact(
        execution_id=row.execution_id,
        job_name=row.job_name,
        scheduled_for=row.scheduled_for,
        attempt=row.attempt,
        started_at=row.started_at,
        closing=closing,
        claims=row.details.get(CLAIMS, {}),
    )
