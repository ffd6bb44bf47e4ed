"""Which event a change of verdict emits: the names that automations ask for."""

import pytest

from flows.monitoring.alarms.events import event_of
from flows.monitoring.vocabulary import Reason, Verdict
from tests.monitoring.alarms.test_ends import change


def name(from_status: str, to_status: str, reason: str | None = None) -> str:
    return event_of(change(from_status, to_status, reason, at=0), None, "VibeCheck staging").event


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
