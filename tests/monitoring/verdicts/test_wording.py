"""The verdicts in words."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest

from flows.monitoring.durations import duration, every
from flows.monitoring.verdicts.rules import ExpectedJob
from flows.monitoring.verdicts.wording import clock, explain_run, how_often, start_worker
from tests.monitoring.verdicts.seeding import ran

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (42.9, "42 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (659, "10 min"),
        (3_600, "1 h"),
        (11_130, "3 h 5 min"),
        (86_400 * 12, "12 d"),
        (86_400 * 12 + 3_600 * 5 + 59, "12 d 5 h"),
    ],
)
def test_a_duration_is_told_no_more_exactly_than_is_of_use(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(900, "every 15 min"), (3_600, "every hour"), (5_400, "every 1 h 30 min"), (20, "every 20 s")],
)
def test_an_interval_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert every(seconds) == words


@pytest.mark.parametrize(
    ("longest_hours", "gaps_in_hours", "words"),
    [
        (24, (24, 24), "every day"),
        (25, (24, 25, 24), "every day"),
        (72, (24, 24, 24), "at least every 3 d"),
        (1, (1, 0.5), "at least every hour"),
        (0.25, None, "every 15 min"),
        (None, None, "no schedule"),
    ],
)
def test_a_job_of_uneven_ticks_is_due_at_least_so_often(
    longest_hours: float | None, gaps_in_hours: tuple[float, ...] | None, words: str
) -> None:
    ticks = None
    if gaps_in_hours is not None:
        ticks = [NOW + timedelta(hours=hours) for hours in accumulate(gaps_in_hours, initial=0)]
    job = ExpectedJob(
        name="job",
        longest_interval_seconds=None if longest_hours is None else longest_hours * 3_600,
        since=NOW,
        paused=False,
        next_run_at=None,
        planned_runs=0,
        ticks=ticks,
    )
    assert how_often(job) == words


@pytest.mark.parametrize(
    ("work_pool", "command"),
    [
        ("vibecheck", "vibecheck worker --pool vibecheck"),
        ("vibecheck-status", "vibecheck worker --pool vibecheck-status"),
        ("reports at night", "prefect worker start --pool 'reports at night'"),
    ],
)
def test_a_worker_of_somebody_elses_pool_is_prefects_own(work_pool: str, command: str) -> None:
    assert start_worker(work_pool) == command


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(minutes=5), "11:55 UTC"),
        (timedelta(days=3), "4 Sep 12:00 UTC"),
        (timedelta(days=365), "7 Sep 2025 12:00 UTC"),
    ],
)
def test_a_moment_is_told_with_what_of_its_date_is_not_todays(age: timedelta, words: str) -> None:
    assert clock(NOW - age, NOW) == words


@pytest.mark.parametrize(
    ("timezone", "words"),
    [
        ("Europe/Berlin", "00:30 CEST"),
        ("America/New_York", "6 Sep 18:30 EDT"),
        ("Asia/Dubai", "02:30 +04"),
        ("UTC", "6 Sep 22:30 UTC"),
    ],
)
def test_a_moment_is_told_in_the_timezone_of_now(timezone: str, words: str) -> None:
    moment = datetime(2026, 9, 6, 22, 30, tzinfo=UTC)
    assert clock(moment, NOW.astimezone(ZoneInfo(timezone))) == words


def test_a_moment_is_told_in_the_time_that_its_own_day_has() -> None:
    winter = datetime(2026, 1, 6, 22, 30, 5, tzinfo=UTC)
    assert clock(winter, NOW.astimezone(ZoneInfo("Europe/Berlin")), with_seconds=True) == "6 Jan 23:30:05 CET"


def test_a_run_is_explained_by_its_error_counts_or_reason() -> None:
    counts = {"fetched": 5, "inserted": 3, "updated": 1}
    assert explain_run(ran("poll_news", NOW, "failure", details=counts)) == "It broke."
    assert explain_run(ran("poll_news", NOW, details=counts)) == "5 fetched, 3 new, 1 updated"
    assert explain_run(ran("poll_news", NOW, "skipped", details={"reason": "overlap"})).startswith("The run before it")
    assert explain_run(ran("poll_news", NOW, details={"reason": "unheard of"})) == ""
    spent = {"reason": "budget", "explanation": "The credits are spent.", "fetched": 0}
    assert explain_run(ran("poll_news", NOW, "skipped", details=spent)) == "The credits are spent."
    off = {"feature": "off", "explanation": "The plan has no stories.", "fetched": 0}
    assert explain_run(ran("poll_stories", NOW, details=off)) == "The plan has no stories."
