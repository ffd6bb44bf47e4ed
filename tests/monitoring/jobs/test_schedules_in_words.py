"""Schedules as people read them."""

from typing import Any

import pytest

from flows.monitoring.jobs.schedules import ScheduleSpec, schedule_in_words


def spec(**changes: Any) -> ScheduleSpec:
    values: dict[str, Any] = dict.fromkeys(("interval", "anchor", "cron", "rrule", "timezone", "slug"))
    values |= {"active": True, **changes}
    return ScheduleSpec(**values)


@pytest.mark.parametrize(
    ("rrule", "words"),
    [
        ("FREQ=DAILY", "every day"),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=30", "every week on Mon, Wed at 09:30"),
        ("DTSTART:20260101T060000Z\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "every 2 weeks on Fri"),
        ("FREQ=DAILY;BYHOUR=6,18;BYSECOND=0;WKST=MO", "every day at 06:00, 18:00"),
        ("FREQ=HOURLY;BYMINUTE=15", "every hour at minute 15"),
        ("freq=minutely;interval=5", "every 5 minutes"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "rrule FREQ=MONTHLY;BYDAY=-1FR"),
        ("FREQ=DAILY;COUNT=3", "rrule FREQ=DAILY;COUNT=3"),
        ("FREQ=DAILY;BYHOUR=x", "rrule FREQ=DAILY;BYHOUR=x"),
        ("FREQ=DAILY\nEXDATE:20260101T060000Z", "rrule FREQ=DAILY EXDATE:20260101T060000Z"),
        ("nonsense", "rrule nonsense"),
    ],
)
def test_a_rule_is_put_in_words_where_these_say_all(rrule: str, words: str) -> None:
    assert schedule_in_words([spec(rrule=rrule)]) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": 900.0, "timezone": "Europe/Berlin"}, "every 15 min"),
        ({"interval": 5_400.0}, "every 1 h 30 min"),
        ({"interval": 86_400.0}, "every day"),
        ({"cron": "0 6 * * 1-5", "timezone": "America/New_York"}, "cron 0 6 * * 1-5 (America/New_York)"),
        ({"cron": "0 6 * * 1-5", "timezone": "UTC"}, "cron 0 6 * * 1-5"),
        ({"rrule": "FREQ=DAILY;BYHOUR=6", "timezone": "Europe/Berlin"}, "every day at 06:00 (Europe/Berlin)"),
    ],
)
def test_a_schedule_by_the_clock_on_the_wall_names_whose_clock(changes: dict[str, Any], words: str) -> None:
    assert schedule_in_words([spec(**changes)]) == words


def test_schedules_are_listed_and_those_that_are_off_are_not() -> None:
    assert schedule_in_words([spec(interval=900.0), spec(cron="0 2 * * *"), spec(interval=5.0, active=False)]) == (
        "every 15 min, cron 0 2 * * *"
    )
    assert schedule_in_words([]) == "no schedule"
