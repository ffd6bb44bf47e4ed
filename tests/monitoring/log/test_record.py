"""The row converges whatever the order, repetition and delay of those who write it, on both databases."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, event, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from flows.database.engine import create_engine, reading
from flows.monitoring.log.merge import Fact, merge
from flows.monitoring.log.record import record
from flows.monitoring.log.rows import LogRow, read_rows
from flows.monitoring.tables import ExecutionLog
from flows.polling.storage.cursors import CursorRow, read_cursor, write_cursor
from tests.monitoring.log.facts import EXECUTION, NOON, arrivals, closing, fact

through_the_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def write(database: AsyncEngine, *facts: Fact) -> list[bool]:
    """Record each fact in a transaction of its own."""
    changed: list[bool] = []
    for each in facts:
        async with database.begin() as connection:
            changed.append(await record(connection, each))
    return changed


async def row_of(database: AsyncEngine, execution_id: UUID = EXECUTION) -> LogRow | None:
    async with reading(database) as connection:
        return (await read_rows(connection, [execution_id])).get(execution_id)


async def row_after(database: AsyncEngine, facts: Sequence[Fact], *, writers: int = 1) -> LogRow | None:
    """The row that the facts make of a new execution, written by so many connections at once."""
    execution_id = uuid4()
    mine = [replace(each, execution_id=execution_id) for each in facts]
    await asyncio.gather(*(write(database, *mine[number::writers]) for number in range(writers)))
    row = await row_of(database, execution_id)
    return row and replace(row, execution_id=EXECUTION)


@through_the_database
@given(case=arrivals())
async def test_order_and_repetition_do_not_matter(database: AsyncEngine, case: tuple[list[Fact], list[Fact]]) -> None:
    first, second = case
    assert await row_after(database, first) == await row_after(database, second)


@through_the_database
@given(case=arrivals())
async def test_facts_merged_before_they_are_written_make_the_same_row(
    database: AsyncEngine, case: tuple[list[Fact], list[Fact]]
) -> None:
    first, second = case
    half = len(second) // 2
    groups = [reduce(merge, group) for group in (second[:half], second[half:]) if group]
    assert await row_after(database, groups) == await row_after(database, first)
    assert await row_after(database, [reduce(merge, first)]) == await row_after(database, second)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=arrivals())
async def test_several_connections_at_once_make_the_same_row(
    database: AsyncEngine, case: tuple[list[Fact], list[Fact]]
) -> None:
    first, second = case
    assert await row_after(database, second, writers=3) == await row_after(database, first)


@through_the_database
@given(case=arrivals())
async def test_writing_again_what_is_known_changes_nothing_and_says_so(
    database: AsyncEngine, case: tuple[list[Fact], list[Fact]]
) -> None:
    first, second = case
    execution_id = uuid4()
    await write(database, *(replace(each, execution_id=execution_id) for each in first))
    before = await row_of(database, execution_id)

    assert not any(await write(database, *(replace(each, execution_id=execution_id) for each in second)))
    assert await row_of(database, execution_id) == before


async def test_a_run_is_opened_closed_and_told_in_one_row(database: AsyncEngine) -> None:
    opened = fact(1, started=2)
    assert await write(database, opened) == [True]
    assert await row_of(database) == LogRow(
        execution_id=EXECUTION,
        job_name="poll_news",
        status="running",
        scheduled_for=NOON,
        attempt=1,
        started_at=NOON + timedelta(seconds=2),
        completed_at=None,
        duration_seconds=None,
        error_message=None,
        details={},
        closed_by=None,
    )

    assert await write(database, fact(1, started=2, closing=closing("success", "flow", fetched=3))) == [True]
    assert await row_of(database) == LogRow(
        execution_id=EXECUTION,
        job_name="poll_news",
        status="success",
        scheduled_for=NOON,
        attempt=1,
        started_at=NOON + timedelta(seconds=2),
        completed_at=NOON + timedelta(seconds=10),
        duration_seconds=8.0,
        error_message=None,
        details={"fetched": 3, "claims": {"flow": "success"}},
        closed_by="flow",
    )


async def test_a_committed_success_stays_and_notes_who_disagrees(database: AsyncEngine) -> None:
    await write(
        database,
        fact(closing=closing("success", "flow", fetched=3)),
        fact(closing=closing("failure", "hook", ended=400, error="Crashed")),
        fact(closing=closing("failure", "reconciler", ended=900, error="The run was lost.")),
    )

    row = await row_of(database)
    assert row is not None
    assert (row.status, row.closed_by, row.error_message, row.duration_seconds) == ("success", "flow", None, 10.0)
    assert row.details == {
        "fetched": 3,
        "claims": {"flow": "success", "hook": "failure", "reconciler": "failure"},
    }


async def test_an_end_before_the_start_has_no_negative_duration(database: AsyncEngine) -> None:
    await write(database, fact(started=5, closing=closing("success", "flow", ended=4)))
    row = await row_of(database)
    assert row is not None
    assert row.duration_seconds == 0.0


async def test_the_row_is_there_exactly_when_the_data_is(database: AsyncEngine) -> None:
    done = fact(closing=closing("success", "flow"))

    async def fail_after_writing() -> None:
        async with database.begin() as connection:
            await write_cursor(connection, "poll_news", "", CursorRow(NOON))
            await record(connection, done)
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        await fail_after_writing()
    assert await row_of(database) is None
    async with reading(database) as connection:
        assert await read_cursor(connection, "poll_news") is None

    async with database.begin() as connection:
        await write_cursor(connection, "poll_news", "", CursorRow(NOON))
        await record(connection, done)
    assert await row_of(database) is not None


async def choreograph(
    database: AsyncEngine, first: Fact, second: Fact, before_commit: Callable[[AsyncConnection], Awaitable[object]]
) -> None:
    """`first` is written and not yet committed when another connection writes `second`."""
    async with database.connect() as connection:
        transaction = await connection.begin()
        await record(connection, first)
        other = asyncio.create_task(write(database, second))
        await before_commit(connection)
        assert not other.done()
        await transaction.commit()
        await other


async def other_waits(connection: AsyncConnection) -> None:
    """Until the other connection hangs on our lock; on SQLite a writer cannot even begin."""
    while connection.dialect.name == "postgresql":
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        if await connection.scalar(text(waiting)):
            return
        await asyncio.sleep(0)
    await asyncio.to_thread(lambda: None)


async def test_of_two_inserts_at_once_the_second_merges_into_the_first(database: AsyncEngine) -> None:
    async with asyncio.timeout(20):
        await choreograph(
            database,
            fact(closing=closing("success", "flow", fetched=3)),
            fact(closing=closing("failure", "hook", error="Crashed")),
            other_waits,
        )

    row = await row_of(database)
    assert row is not None
    assert (row.status, row.details["claims"]) == ("success", {"flow": "success", "hook": "failure"})


async def test_of_two_who_update_at_once_neither_is_lost(database: AsyncEngine) -> None:
    await write(database, fact(1, started=3))
    async with asyncio.timeout(20):
        await choreograph(
            database,
            fact(2, started=60, closing=closing("failure", "hook", error="Crashed")),
            fact(1, started=2, closing=closing("partial_failure", "flow", error="One page failed.")),
            other_waits,
        )

    row = await row_of(database)
    assert row is not None
    assert (row.status, row.attempt, row.started_at) == ("partial_failure", 2, NOON + timedelta(seconds=2))
    assert row.details["claims"] == {"flow": "partial_failure", "hook": "failure"}


async def test_many_connections_at_once_make_one_row(database: AsyncEngine) -> None:
    ends = [closing(status, closer) for status in ("success", "failure") for closer in ("hook", "reconciler")]
    facts = [fact(number % 3, started=number, closing=ends[number % 4]) for number in range(24)]

    row = await row_after(database, facts, writers=8)

    async with reading(database) as connection:
        assert await connection.scalar(select(func.count()).select_from(ExecutionLog)) == 1
    assert row is not None
    assert (row.status, row.closed_by, row.attempt) == ("success", "hook", 2)


async def test_a_row_deleted_while_it_is_written_is_written_anew(postgresql_url: str) -> None:
    engine, other = create_engine(postgresql_url), create_engine(postgresql_url)
    await write(engine, fact())

    async def delete_rows() -> None:
        async with other.begin() as connection:
            await connection.execute(delete(ExecutionLog))

    deleted: list[bool] = []

    def after_insert(_connection: Connection, _cursor: object, sql: str, *_rest: object) -> None:
        if sql.startswith("INSERT") and not deleted:
            deleted.append(True)
            await_only(delete_rows())

    event.listen(engine.sync_engine, "after_cursor_execute", after_insert)
    assert await write(engine, fact(attempt=2)) == [True]

    row = await row_of(engine)
    assert deleted
    assert row is not None
    assert row.attempt == 2
    await engine.dispose()
    await other.dispose()


@pytest.mark.parametrize("writers", [1, 4])
@given(names=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_even_disagreement_about_the_jobs_name_converges(
    database: AsyncEngine, writers: int, names: list[str]
) -> None:
    facts = [fact(job_name=name) for name in names]
    row = await row_after(database, facts, writers=writers)
    assert row is not None
    assert row.job_name == max(names)
