"""When the schedules of a deployment are due: the ticks that Prefect's scheduler plans, and the gaps between them.

Prefect plans intervals of less than a day by plain arithmetic, which is done here. For longer ones in a timezone, and
for cron and rrule, this module asks Prefect's own classes, so that both sides agree about daylight saving time as well.
Those are imported only when they are needed, as importing Prefect takes more than a second.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NotRequired, TypedDict

from flows.monitoring.durations import every

if TYPE_CHECKING:
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

_MICROSECOND = timedelta(microseconds=1)
# Where clocks change, a tick may come out some places too late.
_SPARE = 8
_FREQUENCIES = {
    "MINUTELY": "minute",
    "HOURLY": "hour",
    "DAILY": "day",
    "WEEKLY": "week",
    "MONTHLY": "month",
    "YEARLY": "year",
}
_DAYS = {day[:2].upper(): day for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
# Parts of a recurrence rule that change nothing that the words say.
_PARTS_WITHOUT_WORDS = {"WKST", "BYSECOND"}
# How far back and ahead `longest_gap_seconds` looks, until it sees a tick on both sides. The first step holds every
# weekday and weekend; the last one a leap day.
_HORIZONS = tuple(timedelta(days=days) for days in (8, 32, 128, 512, 1_600))
# Prefect takes any interval; with a longer one nobody means anything, and a time would leave the calendar.
LONGEST_INTERVAL_SECONDS = 10 * 366 * 86_400.0


class ScheduleSpec(TypedDict):
    """One schedule of a deployment, as it is stored: exactly one of `interval`, `cron` and `rrule` is not None."""

    interval: float | None
    """Seconds from tick to tick."""
    anchor: str | None
    """A tick of the interval, ISO 8601 with an offset: the grid that all other ticks lie on."""
    cron: str | None
    day_or: NotRequired[bool]
    """Whether cron's day of month and day of week are joined by "or" (Prefect's default) or by "and"."""
    rrule: str | None
    timezone: str | None
    """IANA name in which cron and rrule are read; UTC if None."""
    active: bool
    slug: str | None


class InvalidSchedule(ValueError):
    """A schedule that no tick can be computed from; the message says which and why."""


def ticks_between(specs: Iterable[ScheduleSpec], start: datetime, end: datetime) -> list[datetime]:
    """Return the times from `start` on and before `end` at which any active schedule of `specs` is due, sorted, in UTC.

    The stretch is half open, so that neighbouring stretches share no tick. A time at which two schedules are due is one
    tick. Raises InvalidSchedule for a schedule that cannot be read, and ValueError for times without a timezone.

    An interval of days in a timezone with daylight saving follows the clock on the wall since Prefect 3.9. Prefect 3.8
    plans the few runs ahead of a change of clocks so, and all later ones by the elapsed time again; for those few runs
    this function differs from what it did.
    """
    start, end = _plain(start), _plain(end)
    return sorted({tick for spec in specs if spec["active"] for tick in _ticks(spec, start, end)})


def next_ticks(specs: Iterable[ScheduleSpec], start: datetime, count: int) -> list[datetime]:
    """Return the first `count` of the ticks from `start` on, as `ticks_between` has them; fewer if no more are to come.

    It computes no more of them than that. Raises as `ticks_between` does.
    """
    start = _plain(start)
    firsts = (islice(_ticks(spec, start, start + _HORIZONS[-1]), count + _SPARE) for spec in specs if spec["active"])
    return sorted({tick for ticks in firsts for tick in ticks})[:count]


def longest_gap_seconds(specs: Sequence[ScheduleSpec], now: datetime) -> float | None:
    """Return the longest time, in seconds, between neighbouring ticks around `now`, of all active schedules together.

    A single interval is its own gap. Else the ticks of 8 days either side are looked at, or of more where they are
    rarer: for "weekdays at 9" the answer is the weekend, 72 hours, on every day of the week.
    None when nothing is due any more: no schedule, none active, or the last tick is over.
    Raises InvalidSchedule for a schedule that cannot be read, and ValueError for a `now` without a timezone.
    """
    active = [spec for spec in specs if spec["active"]]
    if len(active) == 1 and active[0]["interval"] is not None:
        return _plausible(float(active[0]["interval"]))
    now = _plain(now)
    ticks: list[datetime] = []
    for horizon in _HORIZONS:
        ticks = ticks_between(active, now - horizon, now + horizon)
        if 0 < bisect_right(ticks, now) < len(ticks):
            break
    if not ticks or ticks[-1] <= now or len(ticks) == 1:
        return None
    return max((later - earlier).total_seconds() for earlier, later in pairwise(ticks))


def _plausible(seconds: float) -> float:
    if seconds > LONGEST_INTERVAL_SECONDS:
        raise InvalidSchedule(f"an interval of {seconds:g} s is longer than ten years")
    return seconds


def schedule_in_words(specs: Iterable[ScheduleSpec]) -> str:
    """Name the active schedules: `every 15 min`, `cron 0 6 * * * (Europe/Berlin)`, `every 2 weeks on Mon at 09:30`, or
    `no schedule`. The timezone is named where it is not UTC and the clock on the wall counts.
    """
    return ", ".join(_in_words(spec) for spec in specs if spec["active"]) or "no schedule"


def _in_words(spec: ScheduleSpec) -> str:
    if (seconds := spec["interval"]) is not None:
        return every(seconds)
    timezone = spec["timezone"] or "UTC"
    where = "" if timezone == "UTC" else f" ({timezone})"
    if spec["cron"] is not None:
        return f"cron {spec['cron']}{where}"
    rule = spec["rrule"] or ""
    return (_rule_in_words(rule) or f"rrule {' '.join(rule.split())}") + where


def _rule_in_words(rule: str) -> str | None:
    """A recurrence rule (RFC 5545) of the usual kinds; None for one that says more than these words can.

    Where it starts is left out: `DTSTART` may be a line of its own, and gives the time of day where no other is given.
    """
    lines = [line.strip() for line in rule.upper().split() if not line.strip().startswith("DTSTART")]
    if len(lines) != 1:
        return None
    named = (part.partition("=") for part in lines[0].removeprefix("RRULE:").split(";") if part)
    parts = {name: value for name, _, value in named}
    frequency, interval = _FREQUENCIES.get(parts.pop("FREQ", "")), parts.pop("INTERVAL", "1")
    days = [_DAYS.get(day) for day in parts.pop("BYDAY", "").split(",") if day]
    hour, minute = parts.pop("BYHOUR", None), parts.pop("BYMINUTE", None)
    if frequency is None or None in days or parts.keys() - _PARTS_WITHOUT_WORDS:
        return None
    words = f"every {frequency}" if interval == "1" else f"every {interval} {frequency}s"
    if days:
        words += f" on {', '.join(filter(None, days))}"
    if hour is not None:
        hours = hour.split(",")
        if not all(number.isdecimal() for number in (*hours, minute or "0")):
            return None
        words += f" at {', '.join(f'{int(number):02}:{int(minute or 0):02}' for number in hours)}"
    elif minute is not None:
        words += f" at minute {minute}"
    return words


def _ticks(spec: ScheduleSpec, start: datetime, end: datetime) -> Iterator[datetime]:
    """The ticks of one schedule, active or not; possibly some twice, or beyond the ends of the stretch."""
    kinds = [kind for kind in ("interval", "cron", "rrule") if spec[kind] is not None]
    if len(kinds) != 1:
        raise InvalidSchedule(f"a schedule needs one of interval, cron and rrule: {spec}")
    timezone = spec["timezone"] or "UTC"
    try:
        if spec["interval"] is not None:
            yield from _interval_ticks(spec["interval"], spec["anchor"], timezone, start, end)
        elif spec["cron"] is not None:
            yield from _cron_ticks(spec["cron"], spec.get("day_or", True), timezone, start, end)
        elif spec["rrule"] is not None:
            yield from _rrule_ticks(spec["rrule"], timezone, start, end)
    except (ValueError, OverflowError) as error:
        raise InvalidSchedule(f"not a valid schedule: {spec}: {error}") from error


def _interval_ticks(
    seconds: float, anchor: str | None, timezone: str, start: datetime, end: datetime
) -> Iterator[datetime]:
    """Anchor + k * interval, for any whole k. In whole microseconds, since sums of floats would drift off the grid."""
    interval = timedelta(seconds=_plausible(seconds))
    if interval <= timedelta(0):
        raise ValueError("the interval must be positive")
    if anchor is None:
        raise ValueError("an interval needs an anchor")
    if interval >= timedelta(days=1) and timezone != "UTC":
        from prefect.server.schemas.schedules import IntervalSchedule  # slow to import, seldom needed

        rule = {"interval": interval, "anchor_date": anchor, "timezone": timezone}
        yield from _planned_by_prefect(IntervalSchedule.model_validate(rule), start, end)
        return
    first = _plain(datetime.fromisoformat(anchor))
    # Rounded up: the first tick that is not before the start.
    tick = first - (first - start) // interval * interval
    while tick < end:
        yield tick
        tick += interval


def _cron_ticks(cron: str, day_or: bool, timezone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    from prefect.server.schemas.schedules import CronSchedule  # slow to import, seldom needed

    return _planned_by_prefect(CronSchedule(cron=cron, timezone=timezone, day_or=day_or), start, end)


def _planned_by_prefect(
    schedule: "CronSchedule | IntervalSchedule", start: datetime, end: datetime
) -> Iterator[datetime]:
    """What Prefect's scheduler makes of a schedule, asked again and again: it answers with 1,000 at most.

    An answer may hold a tick from before its start (where clocks go forward) and may be short for another reason than
    the end (where they go back), so only an answer with nothing new in it is the last.
    """
    while start < end:
        # The public `get_dates` gives the same, but only to a coroutine.
        answer = schedule._get_dates_generator(n=1_000, start=start, end=end)  # pyright: ignore[reportPrivateUsage]  # see above
        newest = start - _MICROSECOND
        for tick in map(_plain, answer):
            if start <= tick < end:
                newest = max(newest, tick)
                yield tick
        if newest < start:
            return
        start = newest + _MICROSECOND


def _rrule_ticks(rrule: str, timezone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """The rule's own dates, read as Prefect reads them; in one go, as the rule counts up from its start each time."""
    from prefect.client.schemas.schedules import RRuleSchedule  # slow to import, seldom needed

    rule = RRuleSchedule(rrule=rrule, timezone=timezone).to_rrule()
    for date in rule.xafter(start, inc=True):
        tick = _plain(date)
        # A clock time that is skipped when clocks go forward comes out before the ones that precede it.
        if tick >= end + timedelta(days=1):
            return
        if tick < end:
            yield tick


def _plain(date: datetime) -> datetime:
    """`date` in UTC, as the standard library's own type: Prefect's loses its timezone when a timedelta is added to it.

    Raises ValueError if it has no timezone.
    """
    if date.tzinfo is None:
        raise ValueError(f"{date} has no timezone")
    return datetime(*date.utctimetuple()[:6], date.microsecond, tzinfo=UTC)
