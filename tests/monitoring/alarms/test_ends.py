"""The words about how an outage ended, from changes that were stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Notice
from flows.monitoring.alarms.notices import notice_of
from flows.monitoring.verdicts.stored import TransitionRow

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


def change(from_status: str, to_status: str, reason: str | None = None, *, at: int, **details: Any) -> TransitionRow:
    """A change of verdict so many minutes before now."""
    when = NOW - timedelta(minutes=at)
    return TransitionRow(
        id=1,
        job_name="poll_news",
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        at=when,
        noticed_at=when,
        details=details,
        event_emitted_at=None,
    )


def alarm(*, at: int) -> TransitionRow:
    return change("healthy", "unhealthy", "overdue", at=at)


def end(to_status: str, *, at: int, began: int, reason: str = "overdue", **details: Any) -> TransitionRow:
    details |= {"outage_began": (NOW - timedelta(minutes=began)).isoformat(), "outage_reason": reason}
    return change("unhealthy", to_status, at=at, **details)


def notice(*rows: TransitionRow) -> Notice | None:
    return notice_of(rows, NOW, Links())


def text(*rows: TransitionRow) -> str:
    found = notice(*rows)
    assert found is not None
    return f"{found.headline}\n{found.text}"


def key(*rows: TransitionRow) -> str | None:
    found = notice(*rows)
    return found and found.incident


def test_a_pause_ends_an_outage_that_was_told() -> None:
    assert text(end("paused", at=0, began=10)) == (
        "poll_news was paused at 12:00 UTC after 10 min\n"
        "poll_news was paused at 12:00 UTC, after 10 min: it had been overdue since 11:50 UTC.\n"
        "Nothing is expected of it until somebody resumes it; whether it was mended is not known."
    )
    assert key(end("paused", at=0, began=10)) == key(alarm(at=10))


def test_a_job_that_is_removed_ends_its_outage() -> None:
    assert text(end("paused", at=0, began=10, retired=True)) == (
        "poll_news has not been watched since 12:00 UTC, after 10 min of trouble\n"
        "poll_news has not been watched since 12:00 UTC: its deployment was deleted, or lost the tag `monitored`.\n"
        "Before that, it had been overdue since 11:50 UTC. Whether that was mended is not known."
    )


def test_another_schedule_ends_an_outage_that_was_told() -> None:
    assert text(end("not_started", at=0, began=10, reason="not_started")).startswith(
        "poll_news is no longer late, its schedule has changed\n"
    )


def test_what_was_told_of_nobody_and_was_paused_is_no_news() -> None:
    assert notice(alarm(at=10), end("paused", at=5, began=10)) is None


def test_a_recovery_before_the_pause_is_told() -> None:
    rows = [end("healthy", at=6, began=10), change("healthy", "paused", at=5)]
    assert text(*rows).startswith("poll_news recovered at 11:54 UTC after 4 min")


def test_of_several_outages_that_nobody_took_the_last_is_told() -> None:
    assert key(alarm(at=50), end("healthy", at=40, began=50), alarm(at=10)) == key(alarm(at=10))


def test_a_job_that_can_do_nothing_is_told_of_as_a_warning() -> None:
    off = change("not_started", "healthy", "feature_off", at=0, remark="It can do nothing: no stories.")
    found = notice(off)
    assert found is not None
    assert found.kind is Kind.WARNING
    assert text(off) == (
        "poll_news has run without a result since 12:00 UTC\n"
        "poll_news runs, but nothing comes of it.\nSince: 12:00 UTC, for 0 s.\nIt can do nothing: no stories."
    )
    assert key(off) != key(alarm(at=0)), "an outage may begin as it is warned of"
    on = change("healthy", "healthy", at=0, outage_began=NOW.isoformat(), outage_reason="feature_off")
    assert key(on) == key(off)
    assert "it had run without a result since 12:00 UTC" in text(on)


def test_a_warning_since_an_end_that_nobody_took_is_told() -> None:
    warned = change("healthy", "healthy", "feature_off", at=1, remark="The plan has no stories.")
    told = text(end("healthy", at=5, began=30), warned)
    assert told.splitlines()[0] == "poll_news recovered at 11:55 UTC after 25 min, but nothing comes of it"
    assert told.splitlines()[-1] == "The plan has no stories."
