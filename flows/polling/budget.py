"""The request budget: AskNews credits are reserved before a call and settled after it, in the pipeline's database."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import AskNewsError
from flows.database.engine import reading
from flows.polling.statistics import Statistics
from flows.polling.storage.credits import read_credits, reserve_credits, settle_credits

NEWS_CREDITS = 1
ARCHIVE_CREDITS = 5
STORIES_CREDITS = 10


class BudgetExhausted(Exception):
    """The billing period's credits are spent. No retry helps before the next period begins."""


@dataclass
class Receipt:
    """What one call was charged: `actual` is set from the response's `usage.credits`, or stays None."""

    actual: int | None = None


@dataclass(frozen=True)
class CreditBudget:
    """The credits of the billing period that began on the last `billing_day`, shared by every job and worker.

    `limit` is in credits, `soft_ratio` the share of it from which the pipeline slows down. Requests and credits are
    counted in `statistics` as they are spent, retries included.
    """

    engine: AsyncEngine
    limit: int
    billing_day: int
    soft_ratio: float
    statistics: Statistics

    @asynccontextmanager
    async def spend(self, credits: int) -> AsyncGenerator[Receipt]:
        """Reserve `credits` around one call to AskNews, and settle them with what the receipt says.

        A call that never reached AskNews, or that it answered with an error, was not charged, and its credits are given
        back. A call whose fate is unknown (a timeout, a reset) keeps them: the budget may end early, and never late.

        Raises BudgetExhausted before the call when the credits would exceed the limit.
        """
        period = period_start(datetime.now(UTC), self.billing_day)
        async with self.engine.begin() as connection:
            granted = await reserve_credits(connection, period, credits, self.limit)
        if not granted:
            raise BudgetExhausted(
                f"The budget of {self.limit} AskNews credits for the period that began on {period} is spent. Raise "
                "VIBECHECK_MONTHLY_CREDITS, or wait for the next period."
            )
        self.statistics.requests += 1
        receipt = Receipt()
        try:
            yield receipt
        except AskNewsError as error:
            if not error.was_sent or (error.status is not None and error.status >= 400):
                receipt.actual = 0
            raise
        finally:
            self.statistics.credits += credits if receipt.actual is None else receipt.actual
            if receipt.actual is not None and receipt.actual != credits:
                async with self.engine.begin() as connection:
                    await settle_credits(connection, period, credits, receipt.actual)

    async def as_details(self, connection: AsyncConnection) -> dict[str, Any]:
        """How much is used, as every job may report it to the monitoring in the details of its row."""
        period = period_start(datetime.now(UTC), self.billing_day)
        return {
            "name": "AskNews credits",
            "used": await read_credits(connection, period),
            "limit": self.limit,
            "since": period.isoformat(),
            "warn_from": self.soft_ratio,
        }

    async def is_tight(self) -> bool:
        """Whether so much is spent that the pipeline should slow down."""
        async with reading(self.engine) as connection:
            used = await read_credits(connection, period_start(datetime.now(UTC), self.billing_day))
        return used >= self.soft_ratio * self.limit


def period_start(now: datetime, billing_day: int) -> date:
    """The day (UTC) on which the billing period of `now` began; `billing_day` is 1 to 28, so that each month has it.

    AskNews bills by the month, from a day of the month that differs between accounts.
    """
    today = now.astimezone(UTC).date()
    if today.day >= billing_day:
        return today.replace(day=billing_day)
    if today.month == 1:
        return date(today.year - 1, 12, billing_day)
    return date(today.year, today.month - 1, billing_day)
