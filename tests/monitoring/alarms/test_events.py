"""Which event a change of verdict emits: the names that automations ask for."""

from datetime import UTC, datetime

import pytest

from flows.monitoring.alarms.events import event_of
from flows.monitoring.verdicts.stored import TransitionRow
from flows.monitoring.vocabulary import Reason, Verdict

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


def name(from_status: str, to_status: str, reason: str | None = None) -> str:
    change = TransitionRow(
        id=1,
        job_name="poll_news",
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        at=NOW,
        noticed_at=NOW,
        details={},
        event_emitted_at=None,
    )
    return event_of(change, None, "VibeCheck staging").event


def test_each_reason_emits_one_of_three_events() -> None:
    emitted = {reason.value: name("healthy", "unhealthy", reason) for reason in Reason}
    assert emitted.pop("failing") == "vibecheck.job.failing"
    assert emitted.pop("stuck") == "vibecheck.job.stuck"
    assert set(emitted.values()) == {"vibecheck.job.overdue"}


def test_only_the_end_of_an_outage_is_a_recovery() -> None:
    assert name("unhealthy", "healthy") == "vibecheck.job.recovered"
    assert name("not_started", "healthy") == "vibecheck.job.healthy"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_an_event(verdict: Verdict) -> None:
    assert name("paused", verdict).startswith("vibecheck.job.")
