"""The report on a real database: the rules see what the tables hold."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.monitoring.log.rows import LogRow
from flows.monitoring.log.watermark import write_watermark
from flows.monitoring.verdicts.changes import circumstances_of
from flows.monitoring.verdicts.report import JobReport, Report, read_report
from flows.monitoring.verdicts.wording import explain_job, explain_warning
from flows.monitoring.vocabulary import WarningCode
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import (
    MINUTE,
    budget,
    clock,
    expected,
    interval_schedule,
    ran,
    ran_every,
    seed,
    seed_healthy,
)


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"billing_day": 1, **changes})


async def report_of(engine: AsyncEngine, **changes: Any) -> Report:
    async with reading(engine) as connection:
        return await read_report(connection, settings(**changes))


async def job_of(engine: AsyncEngine, *rows: LogRow, job: dict[str, Any] | None = None, **changes: Any) -> JobReport:
    """The report on `poll_news`, expected every 15 minutes, after `rows`."""
    now = await clock(engine)
    await seed(engine, [expected("poll_news", now, **(job or {}))], rows)
    return (await report_of(engine, **changes)).jobs["poll_news"]


async def test_all_is_healthy_when_each_job_ran_and_is_reported(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    report = await report_of(database)
    assert report.overall.verdict == "healthy"
    assert not report.overall.stale
    assert {name: job.judgement.verdict for name, job in report.jobs.items()} == {
        "pipeline_status": "healthy",
        "poll_news": "healthy",
        "poll_stories": "healthy",
    }
    news = report.jobs["poll_news"]
    assert news.facts.last_run == now - MINUTE
    assert news.facts.last_success == now - MINUTE + timedelta(seconds=4)
    assert news.judgement.age_seconds == pytest.approx((report.at - now + MINUTE).total_seconds(), abs=0.001)


async def test_an_empty_database_is_unhealthy_as_nothing_is_expected(database: AsyncEngine) -> None:
    report = await report_of(database)
    assert report.overall.verdict == "unhealthy"
    assert report.jobs == {}


async def test_a_retired_job_is_no_longer_judged(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("gone", now, retired_at=now - MINUTE)])
    report = await report_of(database)
    assert "gone" not in report.jobs
    assert report.overall.verdict == "healthy"


@pytest.mark.parametrize("status", ["skipped", "missed", "cancelled"])
async def test_a_tick_that_did_nothing_is_not_a_run(database: AsyncEngine, status: str) -> None:
    now = await clock(database)
    job = await job_of(
        database, ran("poll_news", now - 40 * MINUTE), ran("poll_news", now - 10 * MINUTE, status), job={}
    )
    assert (job.judgement.verdict, job.judgement.reason) == ("unhealthy", "overdue")
    assert job.facts.last_run == now - 40 * MINUTE
    assert job.judgement.since == now - 10 * MINUTE


async def test_a_failed_run_counts_as_having_run(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, ran("poll_news", now - 40 * MINUTE), ran("poll_news", now - 10 * MINUTE, "failure"))
    assert job.judgement.verdict == "healthy"
    assert job.last_failure is not None
    assert job.last_failure.error_message == "It broke."


async def test_a_job_that_never_ran_is_reported_at_its_bound(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, job={"since": now - 29 * MINUTE})
    assert (job.judgement.verdict, job.judgement.age_seconds) == ("not_started", None)
    job = await job_of(database, job={"since": now - 31 * MINUTE})
    assert (job.judgement.verdict, job.judgement.reason) == ("unhealthy", "not_started")


async def test_three_failures_in_a_row_are_failing_since_the_third(database: AsyncEngine) -> None:
    now = await clock(database)
    failures = ran_every("poll_news", now, 15, 5, status="failure")
    job = await job_of(database, *failures, ran("poll_news", now - 80 * MINUTE))
    assert (job.judgement.verdict, job.judgement.reason) == ("unhealthy", "failing")
    assert job.judgement.since == failures[2].completed_at


async def test_a_long_streak_of_failures_is_dated_exactly(database: AsyncEngine) -> None:
    now = await clock(database)
    failures = ran_every("poll_news", now, 15, 60, status="failure")
    job = await job_of(
        database,
        *failures,
        ran("poll_news", failures[-1].started_at - 15 * MINUTE, "partial_failure"),
        ran("poll_news", failures[-1].started_at - 30 * MINUTE, "failure"),
    )
    assert job.judgement.since == failures[-3].completed_at


async def test_a_job_that_always_failed_is_failing_since_its_third_run(database: AsyncEngine) -> None:
    now = await clock(database)
    failures = ran_every("poll_news", now, 15, 51, status="failure")
    job = await job_of(database, *failures)
    assert job.judgement.since == failures[-3].completed_at


async def test_running_rows_do_not_hide_the_failures_behind_them(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(
        database, *ran_every("poll_news", now, 15, 3, status="failure"), ran("poll_news", now, "running")
    )
    assert job.judgement.reason == "failing"
    assert job.facts.running_since == now
    assert job.last_failure is not None
    assert job.last_failure.error_message == "It broke."


async def test_a_run_that_outlasts_its_interval_is_stuck(database: AsyncEngine) -> None:
    now = await clock(database)
    stuck, twin = (ran("poll_news", now - 16 * MINUTE, "running") for _ in range(2))
    job = await job_of(database, ran("poll_news", now - MINUTE, "running"), stuck, twin)
    assert (job.judgement.reason, job.judgement.since) == ("stuck", now - MINUTE)
    assert (job.facts.running_since, job.running_id) == (now - 16 * MINUTE, stuck.execution_id)
    assert circumstances_of(job, now)["open_run"] == str(stuck.execution_id)


async def test_a_run_that_only_prefect_knows_is_stuck_if_seen_so(database: AsyncEngine) -> None:
    now = await clock(database)
    rows = ran("poll_news", now - 25 * MINUTE, closed_by="reconciler"), ran("poll_news", now - 16 * MINUTE, "running")
    for seen_at, reason in ((now - 4 * MINUTE, None), (now - MINUTE / 2, "stuck")):
        async with database.begin() as connection:
            await write_watermark(connection, seen_at)
        assert (await job_of(database, *rows)).judgement.reason == reason


async def test_a_paused_job_is_neither_healthy_nor_alarming(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("idle", now, paused=True, next_run_at=None, planned_runs=0)])
    report = await report_of(database)
    assert report.jobs["idle"].judgement.verdict == "paused"
    assert report.overall.verdict == "healthy"


async def test_a_job_that_nothing_schedules_cannot_be_overdue(database: AsyncEngine) -> None:
    now = await clock(database)
    # Its schedule has ended.
    job = await job_of(database, ran("poll_news", now - timedelta(days=3)), job={"interval_seconds": 0.0})
    assert job.expected.longest_interval_seconds is None
    assert job.judgement.verdict == "healthy"


async def test_the_whole_is_stale_after_three_silent_intervals(database: AsyncEngine) -> None:
    now = await clock(database)
    jobs = [expected("poll_news", now), expected("pipeline_status", now, every_minutes=5)]
    await seed(database, jobs, [ran("poll_news", now), ran("pipeline_status", now - 14 * MINUTE)])
    assert not (await report_of(database)).overall.stale
    await seed(database, [expected("pipeline_status", now, every_minutes=4)])
    report = await report_of(database)
    assert report.overall.stale
    assert report.overall.verdict == "unhealthy"


async def test_a_status_flow_that_fails_does_not_report(database: AsyncEngine) -> None:
    now = await clock(database)
    await seed(
        database,
        [expected("pipeline_status", now, every_minutes=5)],
        [ran("pipeline_status", now - 20 * MINUTE), ran("pipeline_status", now - MINUTE, "failure")],
    )
    report = await report_of(database)
    assert report.jobs["pipeline_status"].judgement.verdict == "healthy"
    assert report.overall.stale


async def test_a_status_flow_that_did_part_of_its_work_reports(database: AsyncEngine) -> None:
    now = await clock(database)
    await seed(
        database,
        [expected("pipeline_status", now, every_minutes=5)],
        [ran("pipeline_status", now - 20 * MINUTE), ran("pipeline_status", now - MINUTE, "partial_failure")],
    )
    assert not (await report_of(database)).overall.stale


async def test_runs_that_bring_nothing_new_warn_without_alarming(database: AsyncEngine) -> None:
    now = await clock(database)
    nothing = {"inserted": 0, "updated": 0}
    job = await job_of(database, *ran_every("poll_news", now, 15, 8, details=nothing))
    assert (job.judgement.verdict, job.judgement.warnings) == ("healthy", ("stale_data",))


@pytest.mark.parametrize(
    "details",
    [{"inserted": 0, "updated": 2}, {"inserted": 0, "updated": 0, "feature": "off"}, {}],
    ids=["a story grew", "the plan lacks the feature", "a job that counts no rows"],
)
async def test_no_warning_of_stale_data_without_reason(database: AsyncEngine, details: dict[str, Any]) -> None:
    now = await clock(database)
    job = await job_of(database, *ran_every("poll_news", now, 15, 8, details=details))
    assert "stale_data" not in job.judgement.warnings


async def test_the_budget_warns_the_jobs_that_spend_it(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    await seed(database, rows=[ran("poll_news", now, details={"budget": budget(95, limit=100)})])
    report = await report_of(database)
    assert [(each.used, each.limit) for each in report.budgets] == [(95, 100)]
    assert report.jobs["poll_news"].judgement.warnings == ("budget",)
    assert report.jobs["pipeline_status"].judgement.warnings == ()


@pytest.mark.parametrize(
    ("note", "expected"), [("made up", ["made up"]), (5, []), (None, []), ("x" * 300, ["x" * 200])]
)
async def test_what_the_last_success_says_of_its_data_is_reported(
    database: AsyncEngine, note: object, expected: list[str]
) -> None:
    now = await seed_healthy(database)
    await seed(database, rows=[ran("poll_news", now, details={"data_note": note})])
    assert (await report_of(database)).data_notes == expected


async def test_a_job_that_is_overdue_for_want_of_budget_says_so(database: AsyncEngine) -> None:
    now = await clock(database)
    worked = ran("poll_news", now - 40 * MINUTE, details={"inserted": 3, "updated": 0, "budget": budget(0, limit=0)})
    skipped = ran("poll_news", now - 10 * MINUTE, "skipped", details={"reason": "budget"})
    await seed(database, [expected("poll_news", now)], [worked, skipped])
    report = await report_of(database)
    explanation = explain_job(report.jobs["poll_news"], report.at)
    assert explanation.startswith("Overdue")
    assert "The budget of this period is nearly spent" in explanation


async def test_a_job_warns_of_what_it_measures_in_its_own_words(database: AsyncEngine) -> None:
    now = await seed_healthy(database)
    measures = [{"name": "lateness", "text": "late", "warning": "Too late."}, {"name": "other", "text": "fine"}]
    await seed(database, rows=[ran("poll_news", now, details={"measures": measures})])
    job = (await report_of(database)).jobs["poll_news"]
    assert job.judgement.warnings == (WarningCode.MEASURE,)
    assert explain_warning(WarningCode.MEASURE, job) == "Too late."


async def test_the_next_tick_is_the_planned_one_while_it_is_ahead(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, ran("poll_news", now), job={"next_run_at": now + 3 * MINUTE})
    assert job.next_tick == now + 3 * MINUTE


async def test_the_next_tick_is_in_the_past_while_its_run_is_awaited(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, ran("poll_news", now - 20 * MINUTE), job={"next_run_at": now - 5 * MINUTE})
    assert job.next_tick == now - 5 * MINUTE


async def test_the_next_tick_follows_the_schedule_after_a_planned_one(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, ran("poll_news", now - MINUTE), job={"next_run_at": now - 2 * MINUTE})
    assert job.next_tick is not None
    assert now < job.next_tick <= now + 15 * MINUTE + timedelta(seconds=10)
    assert job.next_tick.minute % 15 == job.next_tick.second == 0


async def test_the_next_cron_tick_is_unknown_until_the_next_look(database: AsyncEngine) -> None:
    now = await clock(database)
    cron = [{**interval_schedule(15)[0], "interval": None, "anchor": None, "cron": "*/15 * * * *"}]
    job = await job_of(
        database, ran("poll_news", now - MINUTE), job={"next_run_at": now - 2 * MINUTE, "schedule": cron}
    )
    assert job.next_tick is None


async def test_a_run_ahead_of_the_databases_clock_is_of_age_zero(database: AsyncEngine) -> None:
    now = await clock(database)
    job = await job_of(database, ran("poll_news", now + 10 * MINUTE, "running"))
    assert (job.judgement.verdict, job.judgement.age_seconds) == ("healthy", 0)
