"""The words that people get, from changes that were stored; and how they fit into what a receiver takes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Message, Notice
from flows.monitoring.alarms.notices import error_text, notice_of, paragraphs_of, reminder_of
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.vocabulary import Reason

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=10)
LINKS = Links(ui_url="http://prefect", deployments={"poll_news": "news-id", "poll_stories": "stories-id"})


def change(
    from_status: str, to_status: str, reason: str | None = None, *, minutes_ago: float = 10, **details: Any
) -> TransitionRow:
    at = NOW - timedelta(minutes=minutes_ago)
    return TransitionRow(
        id=1,
        job_name=details.pop("job_name", "poll_news"),
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        at=at,
        noticed_at=NOW,
        details=details,
        event_emitted_at=None,
    )


def alarm(reason: str = "overdue", **details: Any) -> TransitionRow:
    return change("healthy", "unhealthy", reason, **details)


def recovery(reason: str = "overdue", *, minutes_ago: float = 0, **details: Any) -> TransitionRow:
    details |= {"outage_began": BEGAN.isoformat(), "outage_reason": reason}
    return change("unhealthy", "healthy", minutes_ago=minutes_ago, **details)


def notice(*rows: TransitionRow, severity: str | None = None, looks_healthy: bool = False) -> Notice:
    found = notice_of(rows, NOW, LINKS, severity, looks_healthy=looks_healthy)
    assert found is not None
    return found


def headline(*rows: TransitionRow) -> str | None:
    found = notice_of(rows, NOW, LINKS)
    return found and found.headline


def message(*notices: Notice) -> Message:
    return Message(
        prefix="VibeCheck staging",
        paragraphs=paragraphs_of(notices, NOW, LINKS),
        closing="1 of 3 jobs is not healthy.\nStatus page: http://status",
        notices=notices,
    )


def test_each_reason_has_its_own_words() -> None:
    assert {reason: headline(alarm(reason)) for reason in Reason if reason != Reason.STALE} == {
        "overdue": "poll_news has been overdue since 11:50 UTC",
        "failing": "poll_news has been failing since 11:50 UTC",
        "stuck": "poll_news has been stuck since 11:50 UTC",
        "not_started": "poll_news has never run, and was due by 11:50 UTC",
        "no_worker": "poll_news has had no worker since 11:50 UTC",
        "no_success": "poll_news has had no success in time since 11:50 UTC",
        "no_schedule": "poll_news has had no schedule since 11:50 UTC",
        "bad_schedule": "poll_news has had a schedule that cannot be computed since 11:50 UTC",
    }


def test_an_alarm_says_all_that_somebody_who_is_woken_needs() -> None:
    error = "Flow run encountered an exception: CredentialsRefused: the key was refused."
    text = notice(
        alarm(
            "failing", explanation="Failing since 11:50 UTC: it never succeeded.", last_error=error, failed_run="run-id"
        )
    ).text
    assert text.splitlines() == [
        "poll_news is failing.",
        "Since: 11:50 UTC, for 10 min.",
        "It never succeeded.",
        "Last error: CredentialsRefused: the key was refused.",
        "To do: open the failed run, whose log says where it broke; once that is mended, run it now: "
        "prefect deployment run 'poll_news/scheduled'",
        "Look: http://prefect/runs/flow-run/run-id",
    ]


def test_an_alarm_of_a_run_that_does_not_end_leads_to_it() -> None:
    found = notice(alarm("stuck", failed_run="an-earlier-one", open_run="run-id"))
    assert found.link == "http://prefect/runs/flow-run/run-id"
    assert f"Look: {found.link}" in found.text


def test_a_message_says_nothing_twice() -> None:
    overdue = notice(alarm("overdue", explanation="Overdue: the last run started 40 min ago."))
    absent = notice(alarm("no_worker", explanation="No worker has polled it since 11:50 UTC: nothing can start it."))
    assert overdue.text.splitlines()[1:3] == ["Since: 11:50 UTC, for 10 min.", "The last run started 40 min ago."]
    assert absent.text.splitlines()[2] == "Nothing can start it."


def test_an_alarm_for_want_of_a_worker_names_the_pool() -> None:
    found = notice(alarm("no_worker", work_pool_without_worker="platform"))
    assert found.headline == "no worker on pool platform since 11:50 UTC, poll_news stands still"
    assert "To do: start a worker: prefect worker start --pool platform\n" in found.text
    ours = notice(alarm("no_worker", work_pool_without_worker="vibecheck-status"))
    assert "To do: start a worker: vibecheck worker --pool vibecheck-status\n" in ours.text
    assert "http://prefect/work-pools/work-pool/platform" in found.text


def test_one_cause_that_stops_five_jobs_is_one_paragraph() -> None:
    jobs = [notice(alarm("no_worker", job_name=f"job_{n}", work_pool_without_worker="platform")) for n in range(5)]
    told = message(*jobs)
    assert told.subject == "VibeCheck staging: no worker on pool platform since 11:50 UTC, 5 jobs stand still"
    assert told.fitted_body(5_000).split("\n\n")[0].splitlines() == [
        "No worker polls the pool platform: 5 jobs stand still.",
        "Since: 11:50 UTC, for 10 min.",
        "Jobs: job_0, job_1, job_2, job_3, job_4.",
        "To do: start a worker: prefect worker start --pool platform",
        "Look: http://prefect/work-pools/work-pool/platform",
    ]


def test_a_worker_is_absent_since_it_stopped() -> None:
    stopped = (NOW - timedelta(minutes=35)).isoformat()
    absent = {"work_pool_without_worker": "platform", "worker_absent_since": stopped}
    jobs = [notice(alarm("overdue", job_name=f"job_{n}", **absent)) for n in range(2)]
    assert jobs[0].headline == "no worker on pool platform since 11:25 UTC, job_0 stands still"
    assert message(*jobs).fitted_body(5_000).splitlines()[1] == "Since: 11:25 UTC, for 35 min."


def test_a_worker_that_is_back_is_one_paragraph_as_well() -> None:
    jobs = [notice(recovery("no_worker", job_name=f"job_{n}", work_pool_without_worker="platform")) for n in range(5)]
    assert message(*jobs).subject == "VibeCheck staging: pool platform has a worker again, 5 jobs recovered"


def test_a_warning_leads_to_its_deployment() -> None:
    warned = notice(change("healthy", "healthy", "lost_schedule", remark="It has lost a schedule."))
    assert warned.text.splitlines()[-1] == "Look: http://prefect/deployments/deployment/news-id"


def test_a_long_error_is_cut() -> None:
    assert len(notice(alarm(last_error="x" * 10_000)).text) < 1_000


def test_prefects_own_words_are_taken_off_an_error() -> None:
    assert error_text("Flow run encountered an exception: ValueError: x") == "ValueError: x"


def test_an_outage_that_is_over_is_one_notice_with_its_length() -> None:
    assert headline(alarm(), recovery()) == "poll_news recovered at 12:00 UTC after 10 min"


def test_a_recovery_says_what_it_was() -> None:
    assert notice(recovery("no_worker")).text == (
        "poll_news recovered at 12:00 UTC, after 10 min: it had been without a worker since 11:50 UTC."
    )


def test_a_recovery_to_a_job_that_can_do_nothing_says_so() -> None:
    found = notice(recovery("failing", remark="It can do nothing: the plan has no stories."))
    assert found.headline == "poll_news recovered at 12:00 UTC after 10 min, but nothing comes of it"
    assert found.text.endswith("\nIt can do nothing: the plan has no stories.")


def test_a_recovery_that_did_not_last_is_an_alarm() -> None:
    last = alarm("failing", minutes_ago=1)
    assert headline(recovery(minutes_ago=5), last) == "poll_news has been failing since 11:59 UTC"


def test_another_reason_alone_is_no_news() -> None:
    assert headline(change("unhealthy", "unhealthy", "failing")) is None


def test_a_first_run_is_no_news() -> None:
    assert headline(change("not_started", "healthy")) is None


def test_a_silence_of_the_status_flow_says_how_to_look_at_it() -> None:
    found = notice(alarm("stale"), recovery("stale"))
    assert found.headline == "poll_news was silent for 10 min"
    assert "vibecheck verify --since 2026-09-07T11:50Z" in found.text


def test_an_alarm_that_looks_over_says_so() -> None:
    assert "The last look found it healthy" in notice(alarm(), looks_healthy=True).text


def test_nobody_is_woken_by_a_job_of_low_severity() -> None:
    assert notice(alarm(), severity="low").kind is Kind.WARNING


def test_an_incident_keeps_its_key_from_alarm_to_recovery() -> None:
    reminder = reminder_of("poll_news", "overdue", BEGAN, {}, NOW, LINKS)
    assert notice(alarm()).incident == reminder.incident == notice(recovery()).incident


def test_a_message_tells_the_worst_first_and_is_as_bad_as_it() -> None:
    told = message(notice(recovery(job_name="b")), notice(alarm(job_name="a")))
    assert told.kind is Kind.ALARM
    assert told.subject == (
        "VibeCheck staging: 2 jobs: a has been overdue since 11:50 UTC; b recovered at 12:00 UTC after 10 min"
    )
    assert told.fitted_body(5_000).endswith("1 of 3 jobs is not healthy.\nStatus page: http://status")


@pytest.mark.parametrize("limit", [300, 400, 1_000, 2_000, 4_096, 15_000])
def test_what_the_receiver_takes_fits_and_the_rest_is_counted(limit: int) -> None:
    jobs = [notice(alarm(job_name=f"a_job_with_a_long_name_{n}", explanation="x" * 300)) for n in range(47)]
    told = message(*jobs)
    body = told.fitted_body(limit)
    assert len(body) <= limit
    assert "a_job_with_a_long_name_0 is overdue" in body
    assert " more" in body
    assert "status" in body
    assert len(told.fitted_subject(200)) <= 200
    assert "more" in told.fitted_subject(200)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("overdue", "is still overdue"), ("no_worker", "still has no worker"), ("not_started", "still has never run")],
)
def test_a_reminder_says_what_is_still_so(reason: str, words: str) -> None:
    found = reminder_of("poll_news", reason, BEGAN, {}, NOW, LINKS)
    assert found.headline == f"poll_news {words} after 10 min"
    assert found.text.startswith(f"poll_news {words}.\n")
