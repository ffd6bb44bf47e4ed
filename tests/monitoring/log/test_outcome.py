"""What a Prefect state means in the log."""

import pytest
from prefect.client.schemas.objects import State, StateType

from flows.monitoring.log.outcome import outcome_of


def state(kind: StateType, name: str | None = None, message: str | None = None) -> State[None]:
    return State(type=kind, name=name, message=message)


@pytest.mark.parametrize(
    ("final", "run_count", "status"),
    [
        (state(StateType.COMPLETED), 1, "success"),
        (state(StateType.COMPLETED, "PartialFailure"), 1, "partial_failure"),
        (state(StateType.COMPLETED, "Skipped"), 1, "skipped"),
        (state(StateType.COMPLETED, "FeatureOff"), 1, "success"),
        (state(StateType.FAILED), 1, "failure"),
        (state(StateType.FAILED, "TimedOut"), 1, "failure"),
        (state(StateType.CRASHED), 1, "failure"),
        (state(StateType.CANCELLED), 1, "cancelled"),
        (state(StateType.CANCELLING), None, "cancelled"),
        (state(StateType.CANCELLED), 0, "cancelled"),
        (state(StateType.CANCELLED, "Missed"), 0, "skipped"),
        (state(StateType.CANCELLED, message="Deployment concurrency limit reached."), 0, "skipped"),
    ],
)
def test_each_final_state_has_one_status(final: State[None], run_count: int | None, status: str) -> None:
    outcome = outcome_of(final, run_count=run_count)
    assert outcome is not None
    assert outcome.status == status


@pytest.mark.parametrize("kind", [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED])
def test_a_run_that_is_not_over_has_no_outcome(kind: StateType) -> None:
    assert outcome_of(state(kind), run_count=1) is None


def test_a_refused_run_gives_overlap_as_its_reason() -> None:
    outcome = outcome_of(state(StateType.CANCELLED, message="Deployment concurrency limit reached."), run_count=0)
    assert outcome is not None
    assert outcome.details == {"reason": "overlap"}


def test_a_swept_late_run_gives_misfire_as_its_reason() -> None:
    outcome = outcome_of(state(StateType.CANCELLED, "Missed"), run_count=0)
    assert outcome is not None
    assert outcome.details == {"reason": "misfire"}


def test_a_run_that_was_cancelled_while_it_ran_is_no_overlap() -> None:
    outcome = outcome_of(state(StateType.CANCELLED, message="Deployment concurrency limit reached."), run_count=1)
    assert outcome is not None
    assert outcome.status == "cancelled"
    assert outcome.details == {}


def test_a_crash_without_words_still_has_an_error_message() -> None:
    outcome = outcome_of(state(StateType.CRASHED), run_count=1)
    assert outcome is not None
    assert outcome.error_message == "The run crashed."
