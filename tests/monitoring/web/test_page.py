"""The status page, as HTML."""

import html
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.logs import register_secret
from flows.monitoring.alarms.refusals import note_deliveries
from flows.monitoring.alarms.silences import silence
from flows.monitoring.jobs.registry import AbsentWorker, note_absent_workers
from flows.monitoring.web.page import render_page
from tests.monitoring.verdicts.seeding import MINUTE, budget, clock, expected, ran, ran_every, seed, seed_healthy
from tests.monitoring.web.pages import HOSTILE, page_of, page_with_hostile_text


def text_of(page: str) -> str:
    """What a reader sees, roughly: no tags, one space for any."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


async def test_it_shows_each_jobs_verdict_runs_durations_and_uptime(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    page = await page_of(engine)
    text = text_of(page)
    assert "All 3 jobs are healthy." in text
    assert "poll_news every 15 min Healthy Ran 1 min" in text
    assert "takes 4 s at most 4 s" in text
    assert "4 fetched, 3 new, 1 updated" in text
    assert f"{now - MINUTE:%H:%M} UTC" in text
    assert "up in the last 24 h" in text
    # 60 places for each of three jobs, of which 8 are taken.
    assert page.count('<li class="success"><i></i>') == 24 + 1
    assert page.count('<li class="empty">') == 3 * 52


async def test_what_is_wrong_comes_first_with_reason_and_last_error(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    await seed(
        engine,
        [expected("zz_failing", now)],
        ran_every("zz_failing", now, 15, 4, status="failure", error_message="AskNews answered 503."),
    )
    text = text_of(await page_of(engine))
    assert "1 of 4 jobs is not healthy: zz_failing (failing)." in text
    assert text.index("zz_failing every 15 min Unhealthy Failing since") < text.index("poll_news every 15 min Healthy")
    assert "Last error, " in text
    assert "AskNews answered 503." in text


async def test_it_says_who_cannot_be_told_and_what_is_silenced(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    until = now + 60 * MINUTE
    async with engine.begin() as connection:
        await silence(connection, ["poll_news"], until=until, reason="moving <house>")
        await note_deliveries(connection, {"owner data": "The receiver answered 403."}, ["owner data"], now)
    text = text_of(await page_of(engine))
    assert re.search(r"receiver 'owner data' since .* UTC: The receiver answered 403\.", text)
    # With its date, as long as it is not the page's.
    assert re.search(rf"Silenced until (\d+ \w+ (\d+ )?)?{until:%H:%M} UTC: moving <house>", text)


async def test_of_what_is_wrong_the_silenced_comes_last(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    names = [f"failing_{number:02}" for number in range(15)]
    rows = [row for name in names for row in ran_every(name, now, 15, 4, status="failure")]
    await seed(engine, [expected(name, now) for name in names], rows)
    async with engine.begin() as connection:
        await silence(connection, names[:8], until=now + 60 * MINUTE, reason="moving house")
        await note_absent_workers(connection, {"poll_news": AbsentWorker("the polls", now - 2 * MINUTE)})
    page = await page_of(engine)
    text = text_of(page)
    assert re.findall(r'<h2 id="job-\d+">(\S+)', page) == names[8:14]
    assert "failing_14 Failing since" in text
    assert re.search(r"failing_00 Failing since .{,80} Silenced until .{,20}: moving house", text)
    assert "poll_news No worker has polled the work pool the polls since" in text


async def test_where_nothing_has_run_yet_it_waits(engine: AsyncEngine) -> None:
    now = await clock(engine)
    new = [expected(name, now, since=now) for name in ("new", "pipeline_status")]
    await seed(engine, [*new, expected("by_hand", now, interval_seconds=0.0, paused=True)])
    page = await page_of(engine)
    assert "Waiting for first runs 0 of 3 jobs healthy, 2 waiting for the first run, 1 paused." in text_of(page)
    assert '<main id="page" class="not_started">' in page


async def test_a_job_that_lost_its_schedule_has_no_next_run(engine: AsyncEngine) -> None:
    now = await clock(engine)
    lost = expected("lost", now, schedule=[], interval_seconds=0.0, next_run_at=None, planned_runs=0)
    await seed(engine, [lost], [ran("lost", now - MINUTE)])
    assert "next run none" in text_of(await page_of(engine))


async def test_gaps_are_listed_and_lower_the_uptime(engine: AsyncEngine) -> None:
    now = await clock(engine)
    rows = [ran("poll_news", now - age * MINUTE) for age in (1, 16, 31, 131, 146)]
    await seed(engine, [expected("poll_news", now, since=now - 146 * MINUTE)], rows)
    text = text_of(await page_of(engine))
    assert re.search(r"up in the last 2 h 26 min 52\.\d\d%", text)
    assert "1 gap in 30 days, 1 h 10 min in all" in text
    start, end = now - 101 * MINUTE, now - 31 * MINUTE
    assert re.search(rf"{start:%H:%M} UTC to .*{end:%H:%M} UTC: 1 h 10 min", text)


async def test_times_are_told_in_the_timezone_that_is_set(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    text = text_of(await page_of(engine, timezone="Asia/Tokyo"))
    assert f"{(now - MINUTE).astimezone(ZoneInfo('Asia/Tokyo')):%H:%M} JST" in text
    assert "All times are in the timezone Asia/Tokyo." in text
    assert " UTC" not in text


async def test_almost_always_up_is_not_rounded_up(engine: AsyncEngine) -> None:
    now = await clock(engine)
    day = timedelta(days=1)
    ages = [31 * day, *(number * day for number in range(30, 1, -1)), day - timedelta(seconds=62), MINUTE]
    await seed(engine, [expected("daily", now, every_minutes=12 * 60)], [ran("daily", now - age) for age in ages])
    assert "up in the last 30 d 99.99%" in text_of(await page_of(engine))


async def test_a_budget_that_jobs_report_is_shown_once(engine: AsyncEngine) -> None:
    now = await clock(engine)
    rows = [
        ran("poll_news", now - MINUTE, details={"budget": budget(1_250)}),
        ran("poll_stories", now - 9 * MINUTE, details={"budget": budget(1_240)}),
    ]
    await seed(engine, [expected("poll_news", now), expected("poll_stories", now)], rows)
    page = await page_of(engine)
    assert "AskNews credits 1,250 of 20,000 6% used in the period that began on 1 September" in text_of(page)
    assert page.count('role="meter"') == 1
    assert 'aria-valuenow="6"' in page


async def test_what_jobs_say_of_their_data_is_shown_once(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    assert "made-up" not in await page_of(engine)
    details = {"data_note": "sandbox: <made-up> news"}
    await seed(engine, rows=[ran(job, now, details=details) for job in ("poll_news", "poll_stories")])
    assert text_of(await page_of(engine)).count("sandbox: <made-up> news") == 1


async def test_what_a_job_measures_and_its_budgets_end_are_shown(engine: AsyncEngine) -> None:
    now = await clock(engine)
    measure = {"name": "Lateness <of the news>", "text": "None was late.", "warning": "But look."}
    details = {"budget": budget(1_250) | {"spent_by": "2026-09-20"}, "measures": [measure]}
    await seed(engine, [expected("poll_news", now)], [ran("poll_news", now - MINUTE, details=details)])
    page = await page_of(engine)
    assert "At the present rate, all is spent by 20 September 2026." in text_of(page)
    assert "Lateness &lt;of the news&gt;" in page
    assert "None was late." in text_of(page)
    assert "But look." in text_of(page)


async def test_no_budget_is_shown_where_no_job_reports_one(engine: AsyncEngine) -> None:
    now = await clock(engine)
    await seed(engine, [expected("nightly", now)], [ran("nightly", now - MINUTE)])
    page = await page_of(engine)
    assert 'role="meter"' not in page
    assert "credits" not in page


async def test_a_job_that_is_late_paused_or_new_says_so(engine: AsyncEngine) -> None:
    now = await seed_healthy(engine)
    await seed(
        engine,
        [
            expected("late", now, next_run_at=now - 3 * MINUTE),
            expected("idle", now, paused=True),
            expected("new", now, since=now),
        ],
        [ran("late", now - 18 * MINUTE)],
    )
    text = text_of(await page_of(engine))
    assert re.search(r"next run due for 3 min( \d s)? ", text)
    assert "Paused: nothing is expected of it." in text
    assert "Has not run yet. It is expected every 15 min, and by" in text


async def test_what_comes_from_outside_is_escaped(engine: AsyncEngine) -> None:
    page = await page_with_hostile_text(engine)
    assert "<img" not in page
    assert page.count("<script") == 1
    assert html.escape(HOSTILE, quote=False)[:20] in page.replace("&#34;", '"').replace("&#39;", "'")


async def test_secrets_are_not_shown(engine: AsyncEngine) -> None:
    register_secret("ank_sentinel_91d2")
    now = await seed_healthy(engine)
    message = "x" * 595 + "ank_sentinel_91d2"
    await seed(engine, [expected("leaky", now)], [ran("leaky", now, "failure", error_message=message)])
    page = await page_of(engine)
    assert "x" * 100 in page
    assert "ank_" not in page


def test_without_a_database_it_says_so() -> None:
    text = text_of(render_page(None))
    assert "No answer from the database" in text
    assert "cannot be read" in text


def test_it_needs_nothing_but_itself() -> None:
    page = render_page(None)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert "@import" not in page
    assert not re.search(r"url\(", page)
