"""The request budget."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.asknews import RequestTimedOut, ServiceFailed
from flows.database.credits import read_credits
from flows.database.engine import create_engine, reading
from flows.polling.budget import BudgetExhausted, CreditBudget
from flows.polling.statistics import Statistics


def budget(engine: AsyncEngine, limit: int) -> CreditBudget:
    return CreditBudget(engine, limit, 1, 0.9, Statistics())


async def used(credit_budget: CreditBudget) -> int:
    async with reading(credit_budget.engine) as connection:
        return await read_credits(connection, credit_budget.period_start(datetime.now(UTC)))


async def test_a_call_is_settled_with_what_it_really_cost(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    async with credit_budget.spend(10) as receipt:
        assert await used(credit_budget) == 10
        receipt.actual = 7
    assert await used(credit_budget) == 7
    assert (credit_budget.statistics.requests, credit_budget.statistics.credits) == (1, 7)


async def test_a_call_that_was_answered_with_an_error_costs_nothing(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    with pytest.raises(ServiceFailed):
        async with credit_budget.spend(10):
            raise ServiceFailed("500", status=500)
    assert await used(credit_budget) == 0


async def test_a_call_of_unknown_fate_keeps_its_credits(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    with pytest.raises(RequestTimedOut):
        async with credit_budget.spend(10):
            raise RequestTimedOut("no answer")
    assert await used(credit_budget) == 10


async def test_two_workers_at_the_limit_never_exceed_it_retries_included(database_url: str) -> None:
    engines = [create_engine(database_url), create_engine(database_url)]
    granted = 0

    async def worker(engine: AsyncEngine) -> None:
        nonlocal granted
        for _attempt in range(12):
            with suppress(BudgetExhausted):
                async with budget(engine, 55).spend(5):
                    granted += 1

    try:
        await asyncio.gather(*(worker(engine) for engine in engines))
        assert granted == 11
        assert await used(budget(engines[0], 55)) == 55
    finally:
        for engine in engines:
            await engine.dispose()


async def test_near_the_limit_the_budget_is_tight(database: AsyncEngine) -> None:
    credit_budget = budget(database, 100)
    async with credit_budget.spend(89):
        assert not await credit_budget.is_tight()
    async with credit_budget.spend(1):
        assert await credit_budget.is_tight()


@pytest.mark.parametrize(
    ("billing_day", "today", "start"),
    [
        (1, date(2026, 11, 23), date(2026, 11, 1)),
        (23, date(2026, 11, 23), date(2026, 11, 23)),
        (24, date(2026, 11, 23), date(2026, 10, 24)),
        (28, date(2026, 1, 3), date(2025, 12, 28)),
    ],
)
def test_the_period_begins_on_the_last_billing_day(billing_day: int, today: date, start: date, sqlite_url: str) -> None:
    credit_budget = CreditBudget(create_engine(sqlite_url), 1, billing_day, 0.9, Statistics())
    assert credit_budget.period_start(datetime(today.year, today.month, today.day, tzinfo=UTC)) == start
