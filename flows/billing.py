"""AskNews bills by the month, from a day of the month that differs between accounts."""

from datetime import UTC, date, datetime


def period_start(now: datetime, billing_day: int) -> date:
    """The day (UTC) on which the billing period of `now` began; `billing_day` is 1 to 28, so that each month has it."""
    today = now.astimezone(UTC).date()
    if today.day >= billing_day:
        return today.replace(day=billing_day)
    if today.month == 1:
        return date(today.year - 1, 12, billing_day)
    return date(today.year, today.month - 1, billing_day)
