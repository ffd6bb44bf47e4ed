"""The request budget is never exceeded, whoever spends it."""

import asyncio
import sys
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.polling.storage.credits import read_credits, reserve_credits, settle_credits
from flows.polling.storage.tables import CreditPeriod

SEPTEMBER = date(2026, 9, 1)


async def reserve(database: AsyncEngine, credits: int, limit: int) -> bool:
    async with database.begin() as connection:
        return await reserve_credits(connection, SEPTEMBER, credits, limit)


async def used(database: AsyncEngine) -> int:
    async with reading(database) as connection:
        return (await read_credits(connection, SEPTEMBER)).used


async def test_credits_are_reserved_up_to_the_limit_and_not_beyond(database: AsyncEngine) -> None:
    assert await used(database) == 0
    assert [await reserve(database, 5, 12) for _ in range(3)] == [True, True, False]
    assert await reserve(database, 2, 12)
    assert await used(database) == 12


async def test_a_first_call_that_costs_more_than_the_limit_is_refused(database: AsyncEngine) -> None:
    assert not await reserve(database, 5, 4)
    assert await used(database) == 0


async def test_periods_have_budgets_of_their_own(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        assert await reserve_credits(connection, SEPTEMBER, 10, 10)
        assert await reserve_credits(connection, date(2026, 10, 1), 10, 10)
        assert not await reserve_credits(connection, SEPTEMBER, 1, 10)


@pytest.mark.parametrize(("actual", "left"), [(0, 3), (1, 4), (5, 8), (9, 12)])
async def test_settling_replaces_what_was_reserved_by_the_real_price(
    database: AsyncEngine, actual: int, left: int
) -> None:
    await reserve(database, 3, 100)
    await reserve(database, 5, 100)
    async with database.begin() as connection:
        await settle_credits(connection, SEPTEMBER, 5, actual)
    assert await used(database) == left


async def test_settling_never_goes_below_nothing(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await settle_credits(connection, SEPTEMBER, 5, 1)
    assert await used(database) == 0


async def test_many_workers_at_the_limit_get_exactly_what_there_is(database: AsyncEngine) -> None:
    granted = await asyncio.gather(*(reserve(database, 3, 31) for _ in range(20)))

    assert sum(granted) == 10
    assert await used(database) == 30


async def test_a_reservation_whose_transaction_fails_is_given_back(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        assert await reserve_credits(connection, SEPTEMBER, 5, 5)
        await connection.rollback()
    assert await reserve(database, 5, 5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prices=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12),
    limit=st.integers(0, 40),
)
async def test_what_is_used_is_what_was_granted_and_settled(
    database: AsyncEngine, prices: list[tuple[int, int]], limit: int
) -> None:
    async with database.begin() as connection:
        await connection.execute(delete(CreditPeriod))
    expected = 0
    for reserved, actual in prices:
        granted = await reserve(database, reserved, limit)
        assert granted == (expected + reserved <= limit)
        if granted:
            async with database.begin() as connection:
                await settle_credits(connection, SEPTEMBER, reserved, actual)
            expected += actual
        assert await used(database) == expected


SPENDER = """
import asyncio, sys
from datetime import date
from flows.polling.storage.credits import reserve_credits
from flows.database.engine import create_engine

async def main():
    engine = create_engine(sys.argv[1])
    granted = 0
    for _ in range(40):
        async with engine.begin() as connection:
            granted += await reserve_credits(connection, date(2026, 9, 1), 1, 50)
    await engine.dispose()
    print(granted)

asyncio.run(main())
"""


async def test_two_processes_at_the_limit_get_exactly_what_there_is(database_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SPENDER, database_url, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    granted = [int((await process.communicate())[0]) for process in processes]

    assert sum(granted) == 50
    engine = create_engine(database_url)
    assert await used(engine) == 50
    await engine.dispose()
