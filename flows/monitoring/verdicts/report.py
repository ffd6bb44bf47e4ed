"""The health report: what is expected of each job, what the log knows about it, and the verdict. Read from the database
alone, so that it can be given with Prefect away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.monitoring.jobs.expectation_tags import from_json
from flows.monitoring.jobs.registry import StoredJob
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.budgets import Budget, budget_of
from flows.monitoring.verdicts.expected import expected_of, next_tick_of
from flows.monitoring.verdicts.measures import Measure, measures_of
from flows.monitoring.verdicts.overall import Overall, is_silence, judge_all, judge_staleness
from flows.monitoring.verdicts.queries import (
    Newest,
    OutcomeRow,
    SuccessRow,
    first_failures,
    latest_successes,
    read_moment,
    read_newest,
)
from flows.monitoring.verdicts.rules import (
    ExpectedJob,
    JobFacts,
    Judgement,
    Limits,
    Outcome,
    judge,
)
from flows.monitoring.vocabulary import STATUS_FLOW, Status, Verdict, Writer
from flows.settings import MonitoringSettings

LONGEST_NOTE = 200


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """A job: what is expected of it, what is known about it, and the verdict."""

    expected: ExpectedJob
    facts: JobFacts
    judgement: Judgement
    last_run: LogRow | None
    """The last run that was not skipped, cancelled or missed."""
    last_failure: OutcomeRow | None
    """The newest failure or partial failure, if nothing succeeded since."""
    running_id: UUID | None
    """The run that has been going on longest; None if none is."""
    next_tick: datetime | None
    """When it is due next, and the past if that tick is still awaited; None if that is not known."""
    feature_off: str | None = None
    """Why it can do nothing, as its last success reported; None if it can."""
    budget: Budget | None = None
    """What its last success reported of a budget that it spends."""
    data_note: str | None = None
    """What its last success said of its data, for everybody to know."""
    measures: Sequence[Measure] = ()
    """What its last success reported of what it measures."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The verdicts at one moment of the database's clock. `jobs` is by name, in their order."""

    at: datetime
    """Its timezone is the one in which people are told times."""
    overall: Overall
    jobs: Mapping[str, JobReport]
    silent_since: datetime | None = None
    """When the status flow last reported, if by the log alone that is a silence; told to itself as well."""

    def by_concern(self) -> list[JobReport]:
        """Sort the jobs: what is wrong first, then what deserves a look, and the status flow after those it watches."""

        def concern(job: JobReport) -> tuple[bool, bool, bool, str]:
            is_fine = job.judgement.verdict != Verdict.UNHEALTHY
            name = job.expected.name
            return is_fine, is_fine and not job.judgement.warnings, name == STATUS_FLOW, name

        return sorted(self.jobs.values(), key=concern)

    @property
    def data_notes(self) -> Sequence[str]:
        """What jobs say of their data, each once."""
        return sorted({job.data_note for job in self.jobs.values() if job.data_note is not None})

    @property
    def budgets(self) -> Sequence[Budget]:
        """The budgets that jobs report, each once: as the job says it that has spent most of it."""
        by_name: dict[str, Budget] = {}
        for job in self.jobs.values():
            if (budget := job.budget) is not None:
                known = by_name.get(budget.name)
                if known is None or (budget.since, budget.used) > (known.since, known.used):
                    by_name[budget.name] = budget
        return list(by_name.values())


async def read_report(connection: AsyncConnection, settings: MonitoringSettings, *, is_judging: bool = False) -> Report:
    """Read the report, from one connection in a transaction (that only reads). Raises DatabaseUnavailable.

    1. Ask the database for its clock: every age is told by it.
    2. Read what is expected, and the newest rows of each job: one statement for all.
    3. Read more of the few jobs of which these do not tell enough, and judge.
    4. Judge again, with what the status flow has found out by asking Prefect: the jobs that no worker executes. That
       holds until the job runs, or the status flow itself is silent.
    5. Judge the whole.

    `is_judging`: the status flow itself asks. Whatever the log says of it, it is alive, and what it has found is new.
    """
    now, reconciled_until = await read_moment(connection)
    now = now.astimezone(settings.zone())
    newest = await read_newest(connection, now)
    limits = Limits(failing_after=settings.failing_after, stale_data_after=settings.stale_data_after)
    past = await _read_past(connection, newest, limits)
    jobs = {name: _report_job(each, now, limits, reconciled_until) for name, each in past.items()}
    stale, stale_since = _staleness(jobs.get(STATUS_FLOW), now)
    if is_judging or not stale:
        jobs = {name: _with_finding(job, newest[name].job, now, limits) for name, job in jobs.items()}
    if is_judging:
        jobs = {name: _alive(job) if name == STATUS_FLOW else job for name, job in jobs.items()}
    overall = judge_all(
        {name: job.judgement for name, job in jobs.items()},
        stale=stale and not is_judging,
        stale_since=None if is_judging else stale_since,
        not_started_is_healthy=settings.not_started_is_healthy,
    )
    return Report(at=now, overall=overall, jobs=jobs, silent_since=_silent_since(jobs.get(STATUS_FLOW), now))


def _with_finding(job: JobReport, seen: StoredJob, now: datetime, limits: Limits) -> JobReport:
    if seen.absence_noted_at is None:
        return job
    if job.facts.last_run is not None and job.facts.last_run > seen.absence_noted_at:
        return job
    facts = replace(
        job.facts, worker_absent_since=seen.worker_absent_since or seen.since, absent_work_pool=seen.absent_work_pool
    )
    return replace(job, facts=facts, judgement=judge(job.expected, facts, now, limits))


def _alive(job: JobReport) -> JobReport:
    """The status flow while it judges: that is all that is asked of it."""
    if job.judgement.verdict == Verdict.PAUSED:
        return job
    return replace(job, judgement=replace(job.judgement, verdict=Verdict.HEALTHY, reason=None, since=None))


def _staleness(status_flow: JobReport | None, now: datetime) -> tuple[bool, datetime | None]:
    return judge_staleness(status_flow and status_flow.expected, status_flow and _reported_at(status_flow), now)


def _silent_since(status_flow: JobReport | None, now: datetime) -> datetime | None:
    if status_flow is None:
        return None
    last_sign = max(status_flow.expected.since, _reported_at(status_flow) or status_flow.expected.since)
    return last_sign if is_silence(status_flow.expected, last_sign, now) else None


@dataclass(frozen=True)
class _Past:
    """What the log tells of a job."""

    newest: Newest
    failures: Sequence[OutcomeRow]
    """If the last run failed: the first failures since it last delivered, newest first; as many as make it failing."""
    successes: Sequence[SuccessRow]
    """The last success, and those before it if it brought nothing new."""


async def _read_past(connection: AsyncConnection, newest: Mapping[str, Newest], limits: Limits) -> dict[str, _Past]:
    """What the log tells of each job. Only of the few that fail or bring nothing is more than the newest rows read."""
    failing: dict[int, list[str]] = {}
    idle: list[str] = []
    for name, seen in newest.items():
        if seen.outcome is not None and seen.outcome.status == Status.FAILURE:
            failing_after = from_json(seen.job.expectations).failing_after or limits.failing_after
            failing.setdefault(failing_after, []).append(name)
        if seen.success is not None and _new_rows([seen.success]) == [0]:
            idle.append(name)
    failures: dict[str, list[OutcomeRow]] = {}
    for failing_after, names in failing.items():
        failures |= await first_failures(connection, names, failing_after)
    successes = await latest_successes(connection, idle, limits.stale_data_after)
    past: dict[str, _Past] = {}
    for name, seen in newest.items():
        last_success = [seen.success] if seen.success is not None else []
        past[name] = _Past(seen, failures.get(name, ()), successes.get(name, last_success))
    return past


def _report_job(past: _Past, now: datetime, limits: Limits, reconciled_until: datetime | None) -> JobReport:
    job = past.newest.job
    last_run, last_outcome, successes = past.newest.run, past.newest.outcome, past.successes
    outcomes = past.failures or ([] if last_outcome is None else [last_outcome])
    told = successes[0].details if successes else {}
    budget, measures = budget_of(told), measures_of(told)
    is_feature_off = told.get("feature") == "off"
    expected = expected_of(job)
    facts = JobFacts(
        last_run=last_run and last_run.started_at,
        last_run_due=last_run and last_run.scheduled_for,
        known_until=reconciled_until if _is_known_from_prefect_alone(last_outcome) else None,
        last_success=successes[0].completed_at if successes else None,
        running_since=past.newest.running_since,
        outcomes=[outcome_of(row) for row in outcomes],
        new_rows=_new_rows(successes),
        is_feature_off=is_feature_off,
        is_budget_tight=budget is not None and budget.is_tight,
        warns_itself=any(measure.warning for measure in measures),
    )
    return JobReport(
        expected=expected,
        facts=facts,
        judgement=judge(expected, facts, now, limits),
        last_run=last_run,
        running_id=past.newest.running_id,
        feature_off=str(successes[0].details.get("explanation", "")) if is_feature_off else None,
        budget=budget,
        data_note=_data_note(successes),
        measures=measures,
        last_failure=last_outcome if last_outcome and last_outcome.status != Status.SUCCESS else None,
        next_tick=next_tick_of(job, facts.last_run, now),
    )


def outcome_of(row: OutcomeRow) -> Outcome:
    """Return what the rules want to know of it."""
    return Outcome(status=row.status, started_at=row.started_at, completed_at=row.completed_at)


def _is_known_from_prefect_alone(last_outcome: OutcomeRow | None) -> bool:
    """Whether no process of the job writes rows, as far as is known: then they come with the status flow.

    Who opened a row is not noted, so a run that is going on is taken for one like the last that ended.
    """
    return last_outcome is None or last_outcome.closed_by == Writer.RECONCILER


def _data_note(successes: Sequence[SuccessRow]) -> str | None:
    note = successes[0].details.get("data_note") if successes else None
    return note[:LONGEST_NOTE] if isinstance(note, str) else None


def _new_rows(successes: Sequence[SuccessRow]) -> list[int]:
    """How much each success brought; none for a job that counts no rows, or whose plan has nothing to bring."""
    details = [success.details for success in successes]
    if not all("inserted" in each and each.get("feature") != "off" for each in details):
        return []
    return [_count(each, "inserted") + _count(each, "updated") for each in details]


def _count(details: Mapping[str, Any], name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) else 0


def _reported_at(status_flow: JobReport) -> datetime | None:
    """When the status flow last did its work, be it with trouble on the side."""
    done = (outcome.completed_at for outcome in status_flow.facts.outcomes if outcome.status != Status.FAILURE)
    return max((*done, *filter(None, [status_flow.facts.last_success])), default=None)
