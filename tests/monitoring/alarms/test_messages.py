"""The words that people get, from changes that were stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.monitoring.alarms.messages import Notice, message_of, notice_of
from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.rules import Overall
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.vocabulary import Verdict

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


def change(
    from_status: str, to_status: str, reason: str | None = None, *, minutes_ago: float = 10, **details: Any
) -> TransitionRow:
    at = NOW - timedelta(minutes=minutes_ago)
    return TransitionRow(
        id=1,
        job_name="poll_news",
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


def recovery(reason: str = "overdue", *, minutes_ago: float = 0) -> TransitionRow:
    began = (NOW - timedelta(minutes=10)).isoformat()
    return change("unhealthy", "healthy", minutes_ago=minutes_ago, outage_began=began, outage_reason=reason)


def headline(*rows: TransitionRow) -> str | None:
    notice = notice_of(rows, NOW)
    return notice and notice.headline


def test_each_reason_has_its_own_words() -> None:
    assert {
        reason: headline(alarm(reason)) for reason in ("overdue", "failing", "stuck", "not_started", "no_worker")
    } == {
        "overdue": "poll_news is overdue",
        "failing": "poll_news is failing",
        "stuck": "poll_news is stuck",
        "not_started": "poll_news has never run",
        "no_worker": "poll_news has no worker",
    }


def test_an_alarm_says_since_when_what_was_expected_the_last_error_and_the_likely_cause() -> None:
    row = alarm(
        explanation="One is expected every 15 min.", last_error="Refused.", work_pool_without_worker="vibecheck"
    )
    notice = notice_of([row], NOW)
    assert notice is not None
    assert notice.text.splitlines() == [
        "poll_news is overdue (unhealthy since 11:50 UTC).",
        "One is expected every 15 min.",
        "Start a worker of the work pool vibecheck.",
        "Last error: Refused.",
    ]


def test_a_long_error_is_cut() -> None:
    notice = notice_of([alarm(last_error="x" * 10_000)], NOW)
    assert notice is not None
    assert len(notice.text) < 700


def test_an_outage_that_is_over_is_one_notice_with_its_length() -> None:
    assert headline(alarm(), recovery()) == "poll_news has recovered after 10 min"


def test_a_recovery_that_did_not_last_is_an_alarm() -> None:
    assert headline(recovery(minutes_ago=5), alarm("failing", minutes_ago=1)) == "poll_news is failing"


def test_a_job_that_was_paused_before_anybody_was_told_is_no_news() -> None:
    assert headline(alarm(), change("unhealthy", "paused")) is None


def test_another_reason_alone_is_no_news() -> None:
    assert headline(change("unhealthy", "unhealthy", "failing")) is None


def test_a_first_run_is_no_news() -> None:
    assert headline(change("not_started", "healthy")) is None


def test_a_silence_of_the_status_flow_is_told_with_its_length_and_how_to_look_at_it() -> None:
    notice = notice_of([alarm("stale"), recovery("stale")], NOW)
    assert notice is not None
    assert notice.headline == "poll_news was silent for 10 min"
    assert "vibecheck verify --since 2026-09-07T11:50Z" in notice.text


def test_one_message_holds_every_notice_and_ends_with_the_state_of_the_whole() -> None:
    overall = Overall(verdict=Verdict.UNHEALTHY, stale=False, stale_since=None, unhealthy_jobs=("a", "b"))
    report = Report(at=NOW, overall=overall, jobs={})
    message = message_of(
        [Notice("a", "a is overdue", "A."), Notice("b", "b has recovered", "B.")], report, {"a": "http://there/a"}
    )
    assert message.subject == "VibeCheck: 2 jobs: a is overdue; b has recovered"
    assert message.body.startswith("A.\nLook: http://there/a\n\nB.\n\n")
    assert "`vibecheck status`" in message.body
