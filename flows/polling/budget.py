"""The request budget: AskNews credits are reserved before a call and settled after it, in the pipeline's database."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import AskNewsError
from flows.database.engine import reading
from flows.polling.statistics import Statistics
from flows.polling.storage.credits import note_spent, read_credits, reserve_credits, settle_credits, spent_a_day

NEWS_CREDITS = 1
ARCHIVE_CREDITS = 5
STORIES_CREDITS = 10
# What may have been charged counts up to this share of the limit.
MOST_UNCERTAIN = 0.05
# Credits that the job that goes first spends in a day, until that is known: a request at each quarter of an hour.
EXPECTED_A_DAY = 100
LONGEST_MONTH = timedelta(days=31)
# The reason in the row of a run that was skipped because the credits are spent.
BUDGET_SPENT = "budget"


def _utc_now() -> datetime:
    return datetime.now(UTC)


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
    counted in `statistics` as they are spent, retries included, and for `job_name` by the day. What the job `keeps_for`
    will need for the rest of the period is left to it.
    """

    engine: AsyncEngine
    limit: int
    billing_day: int
    soft_ratio: float
    statistics: Statistics
    job_name: str
    keeps_for: str | None = None
    clock: Callable[[], datetime] = _utc_now

    @asynccontextmanager
    async def spend(self, credits: int) -> AsyncGenerator[Receipt]:
        """Reserve `credits` around one call to AskNews, and settle them with what the receipt says.

        A call that AskNews has certainly not charged gives them back: it never arrived, or was answered with an error.
        An answer that was refused for what it holds costs what it says.
        One whose fate is unknown (a timeout, a reset) is booked apart, as uncertain: that counts up to a share of the
        limit, so that an outage does not use up the budget.

        Raises BudgetExhausted before the call when the credits would exceed the limit.
        """
        now = self.clock()
        period = period_start(now, self.billing_day)
        async with self.engine.begin() as connection:
            kept = await self._kept(connection, now)
            most_uncertain = int(MOST_UNCERTAIN * self.limit)
            if not await reserve_credits(connection, period, credits, self.limit - kept, most_uncertain=most_uncertain):
                raise BudgetExhausted(self._refusal(period, kept))
        self.statistics.requests += 1
        receipt = Receipt()
        uncertain = 0
        try:
            yield receipt
        except AskNewsError as error:
            receipt.actual = error.credits or 0
            uncertain = 0 if error.credits is not None or error.was_billed == "no" else credits
            raise
        finally:
            actual = credits if receipt.actual is None else receipt.actual
            self.statistics.credits += actual
            self.statistics.uncertain_credits += uncertain
            async with self.engine.begin() as connection:
                if (actual, uncertain) != (credits, 0):
                    await settle_credits(connection, period, credits, actual, uncertain=uncertain)
                await note_spent(connection, now.date(), self.job_name, actual)

    async def _kept(self, connection: AsyncConnection, now: datetime) -> int:
        """How much of the limit is left to the job that goes first, half of it at the most."""
        if self.keeps_for is None:
            return 0
        rate = await spent_a_day(connection, now.date(), self.keeps_for) or EXPECTED_A_DAY
        days_left = (period_end(now, self.billing_day) - now.date()).days
        return min(self.limit // 2, ceil(rate * days_left))

    def _refusal(self, period: date, kept: int) -> str:
        left = f" but for the {kept} that are kept for {self.keeps_for}" if kept else ""
        return (
            f"The budget of {self.limit} AskNews credits for the period that began on {period} is spent{left}. Raise "
            "VIBECHECK_MONTHLY_CREDITS, or wait for the next period."
        )

    async def as_details(self, connection: AsyncConnection) -> dict[str, Any]:
        """Say how much is used, as every job may report it to the monitoring in the details of its row."""
        now = self.clock()
        period = period_start(now, self.billing_day)
        credits = await read_credits(connection, period)
        rate = await spent_a_day(connection, now.date())
        last_day = spent_by(self.limit - credits.used, rate, now, self.billing_day)
        return {
            "name": "AskNews credits",
            "used": credits.used,
            "uncertain": credits.uncertain,
            "limit": self.limit,
            "since": period.isoformat(),
            "warn_from": self.soft_ratio,
            "spent_by": last_day and str(last_day),
        }

    async def is_tight(self) -> bool:
        """Return whether so much is spent that the pipeline should slow down."""
        async with reading(self.engine) as connection:
            credits = await read_credits(connection, period_start(self.clock(), self.billing_day))
        return credits.used >= self.soft_ratio * self.limit


def spent_by(left: float, rate: float, now: datetime, billing_day: int) -> date | None:
    """Return the day (UTC) on which `left` credits are spent, at `rate` a day; None if the period ends before."""
    if rate <= 0:
        return None
    days_left = max(0.0, left) / rate
    ends_in = period_end(now, billing_day) - now.date()
    return now.date() + timedelta(days=int(days_left)) if days_left < ends_in.days else None


def period_start(now: datetime, billing_day: int) -> date:
    """Return the day (UTC) on which the billing period of `now` began; each month has `billing_day`, which is 1 to 28.

    AskNews bills by the month, from a day of the month that differs between accounts.
    """
    today = now.astimezone(UTC).date()
    if today.day >= billing_day:
        return today.replace(day=billing_day)
    if today.month == 1:
        return date(today.year - 1, 12, billing_day)
    return date(today.year, today.month - 1, billing_day)


def period_end(now: datetime, billing_day: int) -> date:
    """Return the day (UTC) on which the next billing period begins."""
    return period_start(datetime.combine(period_start(now, billing_day), time.min, UTC) + LONGEST_MONTH, billing_day)
