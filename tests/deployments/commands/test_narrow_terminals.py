"""What the commands print on a terminal of 80 columns: nothing is wider, and no name is cut."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rich.console import Console

from deployments.commands.apply import table_of_deployments
from deployments.commands.doctor.jobs import deployment_findings
from deployments.commands.doctor.show import print_findings
from deployments.commands.history import Change, table_of_changes
from deployments.commands.silence import table_of_silences
from deployments.commands.verify import print_line, timeline
from flows.monitoring.alarms.silences import SilenceRow
from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.expectation_tags import Expectations
from flows.monitoring.verify.accounts import Account, JobAccount
from flows.monitoring.verify.verification import Verification

NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
WIDTH = 80
LONG = "reconcile_the_warehouse/european-subsidiaries-nightly"
NAMES = ["poll_news/scheduled", "pipeline_status/scheduled", LONG]
WHO = "Ada Lovelace"


def live(name: str) -> LiveJob:
    schedule = {"cron": "30 3 * * 1-5", "interval": None, "rrule": None, "anchor": None, "day_or": True}
    facts: dict[str, Any] = {
        "job_name": name,
        "full_name": name,
        "deployment_id": uuid4(),
        "schedule": [{**schedule, "timezone": "America/Argentina/Buenos_Aires", "active": True}],
        "paused": False,
        "changed_at": NOW,
        "next_run_at": NOW + timedelta(days=40),
        "planned_runs": 28,
        "lacks_runs": True,
        "work_pool": None,
        "heartbeat_seconds": 30.0,
        "expectations": Expectations(),
        "is_supervised": True,
    }
    return LiveJob(**facts)


def apply(console: Console) -> None:
    console.print(table_of_deployments([live(name) for name in NAMES], NOW, console.width))


def history(console: Console) -> None:
    changes = [
        Change(NOW - timedelta(days=400), f"deployment updated: {', '.join(['parameters', 'job_variables'] * 4)}", WHO),
        Change(NOW, "verdict: not_started → unhealthy (bad_schedule)"),
    ]
    console.print(table_of_changes(changes, NOW))


def silence(console: Console) -> None:
    rows = [
        SilenceRow(id=1, job_name=name, reason="the warehouse moves to another city " * 4, created_at=NOW, until=until)
        for name, until in zip(NAMES, (None, NOW, NOW + timedelta(days=90)), strict=True)
    ]
    console.print(table_of_silences(rows, NOW, console.width))


def verify(console: Console) -> None:
    problem = "there is no row in the log for it, though Prefect calls it Completed"
    odd = Account(NOW, "unaccounted", execution_id=UUID(int=1), closed_by="reconciler", problem=problem)
    jobs = tuple(JobAccount(name, (odd,), (odd,), unseen=("what came before is deleted",)) for name in NAMES)
    for line in timeline(Verification(NOW - timedelta(days=3), NOW, jobs)):
        print_line(console, line)


def doctor(console: Console) -> None:
    print_findings(console, deployment_findings([live(name) for name in NAMES], NOW))


@pytest.mark.parametrize(
    ("prints", "whole"),
    [(apply, NAMES), (history, [WHO, "bad_schedule"]), (silence, NAMES), (verify, NAMES), (doctor, NAMES)],
)
def test_all_fits_and_no_name_is_cut(
    prints: Callable[[Console], None],
    whole: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    prints(Console(force_terminal=True, color_system=None, highlight=False))
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if len(line) > WIDTH] == []
    assert "…" not in printed.replace(" … ", "")
    # A name may go on in a further line behind its slash, and nowhere else.
    assert [part for name in whole for part in name.split("/") if part not in printed] == []
