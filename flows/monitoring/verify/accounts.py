"""Ticks against runs against rows, for one job. Pure.

A tick is a time at which the job was due: by its schedules, by a run that the server's scheduler made, or by a row that
says so. Each tick gets one class, and what cannot be accounted for is a problem.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from flows.monitoring.jobs.registry import ScheduleEntry
from flows.monitoring.jobs.schedules import InvalidSchedule
from flows.monitoring.jobs.ticks import expected_ticks
from flows.monitoring.log.merge import CLAIMS
from flows.monitoring.log.outcome import outcome_of
from flows.monitoring.log.rows import LogRow
from flows.monitoring.prefect_runs import TERMINAL
from flows.monitoring.verdicts.wording import clock
from flows.monitoring.vocabulary import Status

# The class of what is not over yet, and young enough for that; and of what should be accounted for and is not.
PENDING, UNACCOUNTED = "pending", "unaccounted"
# Of two runs for one tick, the one that did most stands for it.
_RANKS: tuple[str, ...] = (
    Status.SUCCESS,
    Status.PARTIAL_FAILURE,
    Status.RUNNING,
    Status.FAILURE,
    PENDING,
    Status.CANCELLED,
    Status.SKIPPED,
    Status.MISSED,
    UNACCOUNTED,
)


@dataclass(frozen=True)
class Account:
    """What became of a tick, or of a run that no schedule asked for."""

    at: datetime
    """When it was due."""
    what: str
    """Its one class: a status of the log, `pending`, or `unaccounted`."""
    execution_id: UUID | None = None
    reason: str | None = None
    closed_by: str | None = None
    duration_seconds: float | None = None
    late_seconds: float | None = None
    note: str | None = None
    """What else is worth knowing, such as that Prefect has another opinion."""
    problem: str | None = None
    """Why the log is not complete here."""
    is_only_logged: bool = False
    """Whether the server no longer has the run."""


@dataclass(frozen=True)
class JobAccount:
    """What became of each tick of a job. `doubles` are the runs beyond the first of a tick."""

    job_name: str
    ticks: tuple[Account, ...] = ()
    extra_runs: tuple[Account, ...] = ()
    doubles: tuple[Account, ...] = ()
    unseen: tuple[str, ...] = ()
    """What could not be seen, in words."""

    def problems(self) -> Iterable[Account]:
        """Return what makes the log incomplete."""
        return (account for account in (*self.ticks, *self.extra_runs, *self.doubles) if account.problem)


@dataclass(frozen=True)
class Window:
    """The ticks to account for: from `since` on and before `until`, as seen at `now` (the server's clock)."""

    since: datetime
    until: datetime
    now: datetime
    grace: timedelta
    """What is younger than this may still be open."""
    zone: tzinfo = UTC
    """Where the people are who are told."""

    def clock(self, moment: datetime) -> str:
        """Write `moment` for people."""
        return clock(moment, self.now.astimezone(self.zone), with_seconds=True)


@dataclass(frozen=True)
class Evidence:
    """What is known about a job: its schedules, oldest first, and its runs and rows in and around the window."""

    job_name: str
    interval: timedelta
    history: Sequence[ScheduleEntry]
    runs: Mapping[UUID, FlowRun]
    rows: Mapping[UUID, LogRow]


@dataclass
class _Tick:
    accounts: list[Account] = field(default_factory=list[Account])


def account_for(evidence: Evidence, window: Window) -> JobAccount:
    """Give the job's account.

    1. Collect the ticks: the expected ones, those of scheduled runs, and those that a row calls missed.
    2. Judge each run with its row, and each row without a run; give it to its tick, or call it extra.
    3. Of several for one tick, the first by rank stands for it and the others are doubles.
    4. A tick that has none is pending while it is young, and else not accounted for.
    """
    unseen: list[str] = []
    try:
        expected = expected_ticks(evidence.history, window.since, window.until)
    except InvalidSchedule as error:
        expected = []
        unseen.append(f"Which ticks its schedule asks for: {error}")
    ticks = {at: _Tick() for at in expected}
    extra: list[Account] = []
    for execution_id in {**evidence.runs, **evidence.rows}:
        run, row = evidence.runs.get(execution_id), evidence.rows.get(execution_id)
        account = _judge(run, row, evidence.interval, window)
        if not window.since <= account.at < window.until:
            continue
        is_tick = run.auto_scheduled if run is not None else account.what == Status.MISSED or account.at in ticks
        if is_tick:
            ticks.setdefault(account.at, _Tick()).accounts.append(account)
        else:
            extra.append(account)
    settled: list[Account] = []
    doubles: list[Account] = []
    for at, tick in sorted(ticks.items()):
        first, *others = sorted(tick.accounts, key=_rank) or [_nothing(at, window)]
        settled.append(first)
        doubles.extend(_double(other) for other in others)
    unseen.extend(_unseen(evidence, window, [*settled, *extra]))
    extra.sort(key=lambda account: account.at)
    return JobAccount(evidence.job_name, tuple(settled), tuple(extra), tuple(doubles), tuple(unseen))


def _judge(run: FlowRun | None, row: LogRow | None, interval: timedelta, window: Window) -> Account:
    facts = _facts(run, row)
    if row is not None and row.status != Status.RUNNING:
        what, note, problem = row.status, *_disagreement(run, row, window)
    elif run is None or run.state is None:
        what, note, problem = _judge_age(
            Status.RUNNING,
            window.now - facts["at"],
            window.grace,
            "its row is open, and the server does not have the run",
        )
    elif run.state.type in TERMINAL:
        said = f"Prefect ended it as {run.state.name} at {window.clock(run.state.timestamp)}"
        lacks = "it has no row in the log" if row is None else "its row is still open"
        what, note, problem = _judge_age(
            PENDING, window.now - run.state.timestamp, window.grace, f"{said}, but {lacks}"
        )
    else:
        what, note, problem = _judge_going(run, interval, window)
    return Account(**facts, what=what, note=note, problem=problem, is_only_logged=run is None and what != Status.MISSED)


def _judge_going(run: FlowRun, interval: timedelta, window: Window) -> tuple[str, str | None, str | None]:
    assert run.state is not None  # noqa: S101  # the caller has looked
    # The server tells its clock in whole seconds: what is newer than that has no age.
    age = max(window.now - run.state.timestamp, timedelta(0))
    name = run.state.name or run.state.type.value
    if run.state.type == StateType.SCHEDULED:
        due = run.next_scheduled_start_time or run.expected_start_time or run.state.timestamp
        waits = Status.RUNNING if run.run_count else PENDING
        return _judge_age(waits, window.now - due, window.grace, f"nothing has started it: it is still {name}")
    if run.state.type == StateType.PENDING:
        return _judge_age(PENDING, age, window.grace, f"it has been {name} for {age.total_seconds():.0f} s")
    return _judge_age(
        Status.RUNNING, age, max(window.grace, interval), f"it has been {name} for {age.total_seconds():.0f} s"
    )


def _judge_age(what: str, age: timedelta, bound: timedelta, otherwise: str) -> tuple[str, str | None, str | None]:
    """`what` while it is young enough for that, and a problem when it is not."""
    return (what, otherwise, None) if age <= bound else (UNACCOUNTED, None, otherwise)


def _disagreement(run: FlowRun | None, row: LogRow, window: Window) -> tuple[str | None, str | None]:
    """Whether Prefect has another opinion than the row: as a note where the row knows of it, else as a problem."""
    if run is None or run.state is None:
        return None, None
    outcome = outcome_of(run.state, run_count=run.run_count)
    if outcome is None:
        return (
            (f"Prefect has started it again: it is {run.state.name}", None)
            if run.run_count > row.attempt
            else (None, None)
        )
    if outcome.status == row.status:
        return None, None
    opinion = f"Prefect calls it {run.state.name}"
    is_noted = outcome.status in row.details.get(CLAIMS, {}).values()
    if is_noted or window.now - run.state.timestamp <= window.grace:
        return opinion, None
    return None, f"{opinion}, and the row says {row.status} without knowing of that"


def _facts(run: FlowRun | None, row: LogRow | None) -> dict[str, Any]:
    """What an account tells of a run and a row, at least one of which is there."""
    facts: dict[str, Any] = {}
    if run is not None:
        due = run.expected_start_time or run.start_time or (run.state.timestamp if run.state else None)
        started_at = run.start_time if run.run_count else None
        facts = {"at": due, "execution_id": run.id}
    else:
        started_at = None
    if row is not None:
        started_at = started_at or (row.started_at if row.attempt else None)
        facts.setdefault("at", row.scheduled_for or row.started_at)
        facts |= {
            "execution_id": row.execution_id,
            "reason": _if_is(str, row.details.get("reason")),
            "closed_by": row.closed_by,
            "duration_seconds": row.duration_seconds if row.attempt else None,
            "late_seconds": _if_is((int, float), row.details.get("late_seconds")),
        }
    if facts.get("late_seconds") is None and started_at is not None:
        facts["late_seconds"] = round((started_at - facts["at"]).total_seconds(), 1)
    return facts


def _if_is(kind: type | tuple[type, ...], value: object) -> Any:
    """`value` if it is of that kind, else None: details may hold whatever a flow returned."""
    return value if isinstance(value, kind) else None


def _nothing(at: datetime, window: Window) -> Account:
    problem = "the server has no run for it, and the log has no row"
    what, note, problem = _judge_age(PENDING, window.now - at, window.grace, problem)
    return Account(at, what, note=note, problem=problem)


def _double(account: Account) -> Account:
    if account.what != Status.MISSED:
        return account
    problem = "a row calls the tick missed, although it has a run"
    return Account(account.at, account.what, account.execution_id, account.reason, account.closed_by, problem=problem)


def _rank(account: Account) -> tuple[int, str]:
    return _RANKS.index(account.what), str(account.execution_id)


def _unseen(evidence: Evidence, window: Window, accounts: Sequence[Account]) -> Iterable[str]:
    begins = min(evidence.history[0].valid_from, window.until) if evidence.history else window.until
    if begins > window.since:
        yield f"Which ticks were expected before {window.clock(begins)}: the schedule was not known yet."
    if count := sum(account.is_only_logged for account in accounts):
        yield f"The flow runs of {count} execution(s): the server no longer has them, the log is the only witness."
