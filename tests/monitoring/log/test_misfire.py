"""The guard at a flow's start."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.monitoring.log.misfire import misfire, misfire_of

DUE = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def run(*, auto_scheduled: bool = True, run_count: int = 1) -> FlowRun:
    return FlowRun.model_validate(
        {"flow_id": uuid4(), "auto_scheduled": auto_scheduled, "run_count": run_count, "expected_start_time": DUE}
    )


def test_a_scheduled_run_too_late_is_skipped_and_says_how_late() -> None:
    state = misfire_of(run(), 60, now=DUE + timedelta(seconds=243))
    assert state is not None
    assert state.name == "Skipped"
    assert state.data == {"reason": "misfire", "late_seconds": 243.0}
    assert "243 s late" in (state.message or "")


@pytest.mark.parametrize("late_seconds", [-3, 0, 59, 60])
def test_a_run_within_the_grace_does_its_work(late_seconds: int) -> None:
    assert misfire_of(run(), 60, now=DUE + timedelta(seconds=late_seconds)) is None


def test_a_run_that_a_person_started_is_never_skipped() -> None:
    assert misfire_of(run(auto_scheduled=False), 60, now=DUE + timedelta(days=1)) is None


def test_a_retry_is_never_skipped() -> None:
    assert misfire_of(run(run_count=2), 60, now=DUE + timedelta(days=1)) is None


async def test_by_a_clock_that_is_ahead_no_run_is_late() -> None:
    # The server said that it started on time, long ago by the clock here.
    with FlowRunContext.model_construct(flow_run=run().model_copy(update={"start_time": DUE})):
        assert await misfire(60) is None


async def test_a_flow_called_without_a_run_is_never_late() -> None:
    assert await misfire(60) is None
