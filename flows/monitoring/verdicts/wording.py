"""The verdicts in words, the same wherever they are read: in the JSON, on the status page, in the terminal."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from flows.monitoring.durations import duration, every
from flows.monitoring.log.rows import LogRow
from flows.monitoring.verdicts.report import JobReport, Report
from flows.monitoring.verdicts.rules import ExpectedJob, late_from
from flows.monitoring.vocabulary import STATUS_FLOW, Reason, RowReason, Status, Verdict, WarningCode

# What several names may take.
LIST_OF_NAMES = 300
# What the names of our work pools begin with.
OUR_POOLS = "vibecheck"
_DAY, _CLOCK_CHANGE = 86_400.0, 3_600.0
_WHY_NOT: dict[str, str] = {
    RowReason.OVERLAP: "The run before it was still going.",
    RowReason.MISFIRE: "It would have started too late; the next run on time covers the gap.",
}
_BUDGET_IS_WHY = " The budget of this period is nearly spent, and runs beyond it are skipped."


def clock(moment: datetime, now: datetime, *, with_seconds: bool = False) -> str:
    """Tell a moment in the timezone of `now`, with its date if that is not today's: `14:15 UTC`, `3 Sep 14:15 CEST`."""
    local = moment.astimezone(now.tzinfo)
    date = (
        ""
        if local.date() == now.date()
        else f"{local.day} {local:%b} " + ("" if local.year == now.year else f"{local.year} ")
    )
    return date + local.strftime("%H:%M:%S %Z" if with_seconds else "%H:%M %Z")


def explain_job(job: JobReport, now: datetime) -> str:
    """Explain the verdict on a job in a sentence or two, with what was expected."""
    judgement, expected = job.judgement, job.expected
    due = "" if expected.longest_interval_seconds is None else how_often(expected)
    age = "" if judgement.age_seconds is None else duration(judgement.age_seconds)
    match judgement.verdict, judgement.reason:
        case Verdict.PAUSED, _:
            return "Paused: nothing is expected of it."
        case _, Reason.NO_SCHEDULE:
            return f"Its deployment has had no schedule since {_when(judgement.since, now)}, and is not paused."
        case _, Reason.BAD_SCHEDULE:
            return f"Its schedule cannot be computed, so Prefect plans no run of it: {expected.bad_schedules}."
        case Verdict.NOT_STARTED, _ if expected.longest_interval_seconds is None:
            return "Has not run yet, and nothing schedules it."
        case Verdict.NOT_STARTED, _:
            bound = late_from(expected, job.facts)
            by = "" if bound is None else f", and by {clock(bound, now)} at the latest"
            return f"Has not run yet. It is expected {due}{by}."
        case _, Reason.NOT_STARTED if expected.ticks is not None:
            return f"Has never run, though a run was due by {_when(judgement.since, now)}."
        case _, Reason.NOT_STARTED:
            return f"Has never run, though expected {due} since {clock(expected.since, now)}."
        case _, Reason.OVERDUE:
            why = _BUDGET_IS_WHY if WarningCode.BUDGET in judgement.warnings else ""
            wanted = (
                f"one is expected {due}" if expected.ticks is None else f"one was due by {_when(judgement.since, now)}"
            )
            return f"Overdue: the last run started {age} ago, and {wanted}.{why}"
        case _, Reason.NO_SUCCESS:
            wanted = duration(expected.tags.stale_after or 0)
            return f"No success for longer than {wanted}: " + _last_success(job, now)
        case _, Reason.STUCK:
            going = "" if job.facts.running_since is None else duration((now - job.facts.running_since).total_seconds())
            limit = expected.tags.duration
            wanted = f"one is expected {due}" if limit is None else f"one may take {duration(limit)}"
            return f"Stuck: a run has been going for {going}, though {wanted}."
        case _, Reason.NO_WORKER:
            pool = (
                "its work pool" if job.facts.absent_work_pool is None else f"the work pool {job.facts.absent_work_pool}"
            )
            return f"No worker has polled {pool} since {_when(judgement.since, now)}: nothing can start it."
        case _, Reason.FAILING:
            return f"Failing since {_when(judgement.since, now)}: " + _last_success(job, now)
        case _ if judgement.age_seconds is None:
            return "Has not run yet, and nothing schedules it."
        case _:
            expectation = f"expected {due}" if due else "nothing schedules it"
            return f"Ran {age} ago; {expectation}." + _last_outcome(job)


def how_often(expected: ExpectedJob) -> str:
    """Say how often the job is due: `every 15 min`; `at least every 3 d` where its ticks are not evenly spaced.

    A day on which the clocks change counts as a day.
    """
    seconds = expected.longest_interval_seconds
    if seconds is None:
        return "no schedule"
    if not expected.ticks:
        return every(seconds)
    tolerance = _CLOCK_CHANGE if seconds >= _DAY else 0.0
    days = round(seconds / _DAY) * _DAY
    longest = days if tolerance and abs(seconds - days) <= tolerance else seconds
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(expected.ticks)]
    return every(longest) if min(gaps, default=longest) >= longest - tolerance else f"at least {every(longest)}"


def start_worker(work_pool: str) -> str:
    """Return the command that starts a worker for a work pool: ours for ours, and Prefect's own for anybody else's."""
    is_ours = work_pool == OUR_POOLS or work_pool.startswith(f"{OUR_POOLS}-")
    return f"{'vibecheck worker' if is_ours else 'prefect worker start'} --pool {shlex.quote(work_pool)}"


def explain_run(row: LogRow) -> str:
    """Say what a run did, or why it did not, as far as its row tells; it may be empty."""
    if row.error_message:
        return row.error_message
    # A flow's own words, or Prefect's where the flow's reason could not be read.
    if explanation := row.details.get("explanation"):
        return str(explanation)
    if "fetched" in row.details:
        counts = ((row.details.get(name, 0), word) for name, word in (("inserted", "new"), ("updated", "updated")))
        return ", ".join([f"{row.details['fetched']} fetched", *(f"{count} {word}" for count, word in counts)])
    return _WHY_NOT.get(str(row.details.get("reason")), "")


def explain_warning(warning: WarningCode, job: JobReport) -> str:
    """Explain a warning in a sentence. It does not make the job unhealthy."""
    match warning:
        case WarningCode.STALE_DATA:
            return "Its last successful runs brought nothing new: look whether the source still has what is asked for."
        case WarningCode.BUDGET:
            budget = job.budget
            return "" if budget is None else f"{budget.used:,} of the {budget.limit:,} {budget.name} are used."
        case WarningCode.FEATURE_OFF:
            name = job.expected.name
            deployment = name if "/" in name else f"{name}/scheduled"
            return (
                f"It can do nothing: {job.feature_off} To switch it off: prefect deployment schedule pause "
                f"'{deployment}' --all; and for good, `active: false` in prefect.yaml."
            )
        case WarningCode.MEASURE:
            return " ".join(measure.warning for measure in job.measures if measure.warning)
        case WarningCode.WRONG_TAG:
            return f"A tag of its deployment cannot be read: {'; '.join(job.expected.tags.wrong)}."
        case WarningCode.LOST_SCHEDULE:
            return (
                f"Its deployment no longer has the schedule {job.expected.lost_schedules}, and kept others. If that is "
                "not meant, deploy it again. If it is, there is nothing to do: the warning ends by itself after a week."
            )
        case WarningCode.NO_PLANNED_RUNS:
            return "Prefect's scheduler has planned no run of it: is its scheduler service running?"


def listed(names: Sequence[str], limit: int = LIST_OF_NAMES) -> str:
    """List the names that fit into so many characters, and say how many more there are."""
    for count in range(min(len(names), limit), 0, -1):
        rest = len(names) - count
        text = ", ".join(names[:count]) + (f" and {rest} more" if rest else "")
        if len(text) <= limit or count == 1:
            return text
    return ""


def explain_all(report: Report) -> str:
    """Explain the verdict on the whole in a sentence, or one for each thing that is wrong."""
    overall = report.overall
    if not report.jobs:
        return (
            "No job is expected to run, so nothing can be said to work. Run “vibecheck apply”, with “--watch-only” if "
            "you have jobs of your own alone, and give what is to be watched the tag “monitored”."
        )
    problems: list[str] = []
    if overall.unhealthy_jobs:
        named = listed([f"{name} ({_in_brief(report.jobs[name])})" for name in overall.unhealthy_jobs])
        verb = "is" if len(overall.unhealthy_jobs) == 1 else "are"
        problems.append(f"{len(overall.unhealthy_jobs)} of {_jobs(len(report.jobs))} {verb} not healthy: {named}.")
    if overall.stale:
        problems.append(f"The status flow, {STATUS_FLOW}, {_silence(report)}: nobody repairs the log or sends alarms.")
    idle = [name for name, job in report.jobs.items() if WarningCode.FEATURE_OFF in job.judgement.warnings]
    remark = [f"Nothing comes of {listed(idle)}: see the warning."] if idle else []
    return " ".join([*(problems or [_all_well(report)]), *remark])


def _silence(report: Report) -> str:
    if STATUS_FLOW not in report.jobs:
        return "is not deployed"
    since = report.overall.stale_since
    return "has no schedule" if since is None else f"should have reported by {clock(since, report.at)}"


def _all_well(report: Report) -> str:
    verdicts = [job.judgement.verdict for job in report.jobs.values()]
    others = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in ((Verdict.NOT_STARTED, "waiting for the first run"), (Verdict.PAUSED, "paused"))
        if verdict in verdicts
    ]
    if not others:
        return (
            "The one job that is watched is healthy."
            if len(verdicts) == 1
            else f"All {len(verdicts)} jobs are healthy."
        )
    return f"{verdicts.count(Verdict.HEALTHY)} of {_jobs(len(verdicts))} healthy, {', '.join(others)}."


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _in_brief(job: JobReport) -> str:
    return (job.judgement.reason or job.judgement.verdict).replace("_", " ")


def _when(moment: datetime | None, now: datetime) -> str:
    return "an unknown time" if moment is None else clock(moment, now)


def _last_outcome(job: JobReport) -> str:
    if job.last_failure is None:
        return ""
    return " Its last run failed." if job.last_failure.status == Status.FAILURE else " Its last run failed in part."


def _last_success(job: JobReport, now: datetime) -> str:
    if job.facts.last_success is None:
        return "it never succeeded."
    return f"the last success was {duration((now - job.facts.last_success).total_seconds())} ago."
