"""What `verify` says of one run, whatever its row holds and whatever the clocks say."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from deployments.commands.verify import timeline
from flows.monitoring.verify.accounts import Evidence, JobAccount, Window, account_for
from flows.monitoring.verify.verification import Verification
from tests.monitoring.verdicts.seeding import ran

DUE = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def accounted(*, now: datetime, run: FlowRun | None = None, details: dict[str, Any] | None = None) -> JobAccount:
    """The account of a job with one run, or one row."""
    rows = {} if details is None else {(row := ran("poll", DUE, details=details)).execution_id: row}
    runs = {} if run is None else {run.id: run}
    return account_for(Evidence("poll", 15 * MINUTE, (), runs, rows), Window(DUE, now + MINUTE, now, 10 * MINUTE))


@pytest.mark.parametrize("state", [StateType.PENDING, StateType.RUNNING])
def test_a_run_of_this_very_second_has_no_age(state: StateType) -> None:
    entered = State.model_validate({"type": state, "timestamp": DUE + timedelta(milliseconds=900)})
    run = FlowRun.model_validate(
        {"flow_id": uuid4(), "deployment_id": uuid4(), "state": entered, "expected_start_time": DUE, "run_count": 1}
    )
    (account,) = accounted(now=DUE, run=run).extra_runs
    assert account.note == f"it has been {entered.name} for 0 s"


@pytest.mark.parametrize("odd", [{"not": "a text"}, ["list"], 5, None])
def test_odd_details_of_one_row_are_left_out_of_the_account(odd: Any) -> None:
    job = accounted(now=DUE + MINUTE, details={"reason": odd, "late_seconds": {"not": "a number"}})
    (account,) = job.extra_runs
    assert (account.reason, account.late_seconds) == (None, 0.0)
    assert list(timeline(Verification(DUE, DUE + MINUTE, (job,))))
