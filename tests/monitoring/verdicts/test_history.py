"""Downtime and uptime from a real log: what counts is when data came."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.jobs.expectation_tags import Expectations
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.history import Downtime, JobHistory, read_history, uptime
from flows.monitoring.verdicts.rules import ExpectedJob
from flows.monitoring.verdicts.stored import Transition, change_verdict
from tests.monitoring.verdicts.seeding import MINUTE, expected, ran, ran_every, seed

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


async def history_of(engine: AsyncEngine, *rows: LogRow, **changes: Any) -> JobHistory:
    """The history of a job that runs every 15 minutes."""
    await seed(engine, rows=rows)
    values: dict[str, Any] = {
        "name": "poll_news",
        "longest_interval_seconds": 900.0,
        "since": NOW - 40 * DAY,
        "paused": False,
        "next_run_at": None,
        "planned_runs": 0,
    }
    async with reading(engine) as connection:
        return await read_history(connection, ExpectedJob(**{**values, **changes}), NOW)


def ages(history: JobHistory) -> list[tuple[float, float]]:
    """When each downtime began and ended, in minutes before now."""
    return [((NOW - each.start) / MINUTE, (NOW - each.end) / MINUTE) for each in history.downtimes]


def minutes_ago(*ages: float, status: str = "success") -> list[LogRow]:
    return [ran("poll_news", NOW - age * MINUTE, status) for age in ages]


async def test_the_last_sixty_runs_and_ticks_are_shown_oldest_first(database: AsyncEngine) -> None:
    history = await history_of(
        database, *minutes_ago(*range(1, 80)), *minutes_ago(0.5, status="missed"), *minutes_ago(80, status="skipped")
    )
    assert len(history.runs) == 60
    assert [run.status for run in history.runs[-2:]] == ["success", "missed"]
    assert history.runs[0].started_at < history.runs[1].started_at


async def test_a_pause_of_exactly_two_intervals_is_no_downtime(database: AsyncEngine) -> None:
    history = await history_of(database, *minutes_ago(0, 30, 60), since=NOW - 60 * MINUTE)
    assert history.downtimes == []
    assert history.uptimes["24 h"].ratio == 1


async def test_a_run_that_starts_late_after_a_skipped_tick_is_no_gap(database: AsyncEngine) -> None:
    history = await history_of(database, *minutes_ago(29, 59.5), since=NOW - 75 * MINUTE)
    assert history.downtimes == []


async def test_of_a_job_that_runs_every_few_seconds_a_minute_is_a_gap(database: AsyncEngine) -> None:
    rows = [ran("poll_news", NOW - timedelta(seconds=age)) for age in (0, 50, 60)]
    history = await history_of(database, *rows, longest_interval_seconds=10.0, since=NOW - MINUTE)
    assert [each.seconds for each in history.downtimes] == [30]


async def test_downtime_begins_two_intervals_after_the_last_delivery(database: AsyncEngine) -> None:
    history = await history_of(database, *minutes_ago(10, 100, 115), since=NOW - 120 * MINUTE)
    assert ages(history) == [(70, 10)]
    assert not history.downtimes[0].ongoing
    assert history.uptimes["24 h"].ratio == pytest.approx(1 - 60 / 120)


@pytest.mark.parametrize("status", ["failure", "skipped", "missed", "cancelled", "running"])
async def test_runs_without_data_do_not_end_a_downtime(database: AsyncEngine, status: str) -> None:
    history = await history_of(
        database, *minutes_ago(10, 100), *minutes_ago(85, 70, 55, 40, status=status), since=NOW - 110 * MINUTE
    )
    assert ages(history) == [(70, 10)]


async def test_a_partial_failure_delivers(database: AsyncEngine) -> None:
    history = await history_of(
        database, *minutes_ago(10, 60), *minutes_ago(35, status="partial_failure"), since=NOW - 60 * MINUTE
    )
    assert history.downtimes == []


async def test_an_ongoing_downtime_ends_now(database: AsyncEngine) -> None:
    history = await history_of(database, *minutes_ago(50), since=NOW - 60 * MINUTE)
    assert ages(history) == [(20, 0)]
    assert history.downtimes[0].ongoing


@pytest.mark.parametrize("status", ["failure", "running", "skipped"])
async def test_a_job_that_never_delivered_was_never_up(database: AsyncEngine, status: str) -> None:
    history = await history_of(database, *minutes_ago(10, 20, status=status), since=NOW - 20 * MINUTE)
    assert (history.downtimes, history.uptimes) == ([], {})
    history = await history_of(database, since=NOW - 60 * MINUTE)
    assert ages(history) == [(60, 0)]
    assert history.uptimes["30 d"].ratio == 0
    assert history.uptimes["30 d"].window_seconds == 3_600


@pytest.mark.parametrize(
    ("changes", "down_from"),
    [
        ({"ticks": ()}, 25),
        ({"ticks": (), "tags": Expectations(within=60)}, 34),
        ({"tags": Expectations(stale_after=1_200)}, 30),
    ],
)
async def test_a_job_is_down_when_its_own_expectations_say_so(
    database: AsyncEngine, changes: dict[str, Any], down_from: float
) -> None:
    history = await history_of(database, *minutes_ago(50), since=NOW - 60 * MINUTE, **changes)
    assert ages(history) == [(down_from, 0)]


async def test_time_before_the_job_was_expected_does_not_count(database: AsyncEngine) -> None:
    history = await history_of(database, *minutes_ago(5, 300), since=NOW - 20 * MINUTE)
    assert history.downtimes == []


async def test_what_came_before_the_window_decides_how_it_begins(database: AsyncEngine) -> None:
    window = 30 * 24 * 60
    history = await history_of(database, *minutes_ago(window + 10, window - 15))
    assert ages(history) == [(window - 45, 0)]


async def test_a_downtime_from_before_the_longest_window_is_clipped(database: AsyncEngine) -> None:
    window = 30 * 24 * 60
    every_hours = 4 * 60
    rows = minutes_ago(window + 3_000, *range(window - 60, 0, -every_hours))
    history = await history_of(database, *rows, longest_interval_seconds=every_hours * 60.0)
    assert ages(history) == [(window, window - 60)]
    assert history.uptimes["30 d"].ratio == pytest.approx(1 - 60 / window)
    assert history.uptimes["7 d"].ratio == 1


@pytest.mark.parametrize("changes", [{"paused": True}, {"longest_interval_seconds": None}, {"since": NOW}])
async def test_a_job_of_which_nothing_is_expected_has_no_uptime(database: AsyncEngine, changes: dict[str, Any]) -> None:
    history = await history_of(database, *minutes_ago(500), **changes)
    assert (history.downtimes, history.uptimes) == ([], {})


async def test_another_jobs_runs_do_not_count(database: AsyncEngine) -> None:
    history = await history_of(database, *ran_every("poll_stories", NOW, 15, 10), since=NOW - 60 * MINUTE)
    assert history.runs == []
    assert len(history.downtimes) == 1


def test_uptime_counts_only_what_lies_in_the_window() -> None:
    downtimes = [
        Downtime(NOW - 10 * DAY, NOW - 8 * DAY, ongoing=False),
        Downtime(NOW - 2 * DAY, NOW - 0.5 * DAY, ongoing=False),
    ]
    assert uptime(downtimes, NOW - DAY, NOW).ratio == pytest.approx(0.5)
    assert uptime(downtimes, NOW - 9 * DAY, NOW).ratio == pytest.approx(1 - 2.5 / 9)


async def test_a_missed_tick_within_the_longest_gap_is_a_gap(database: AsyncEngine) -> None:
    # As on weekdays: the longest gap is the weekend's, and one day was missed.
    await seed(database, [expected("poll_news", NOW)])
    status, reason = "not_started", None
    async with database.begin() as connection:
        for to, why, hours_ago in (
            ("healthy", None, 40), ("unhealthy", "overdue", 30), ("healthy", None, 20), ("unhealthy", "failing", 10),
            ("healthy", None, 8), ("unhealthy", "overdue", 2),
        ):  # fmt: skip
            at, details = NOW - timedelta(hours=hours_ago), {"outage_reason": reason}
            change = Transition(
                job_name="poll_news", from_status=status, to_status=to, reason=why, at=at, details=details
            )
            assert await change_verdict(connection, change, from_reason=reason)
            status, reason = to, why
    rows = minutes_ago(54 * 60, 20 * 60, 6 * 60)
    history = await history_of(database, *rows, longest_interval_seconds=3 * 86_400.0, ticks=[NOW + DAY])
    assert [(start / 60, end / 60) for start, end in ages(history)][-2:] == [(30, 20), (2, 0)]
    assert history.downtimes[-1].ongoing
