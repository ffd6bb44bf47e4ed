"""`vibecheck history`: what changed of a job, and when: its schedule, its verdict and its deployment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, cast

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from deployments.commands.names import check_known
from deployments.failures import CommandFailed, failing_in_words
from deployments.parameters import GivenSettings, Moment, moment
from deployments.server.environments import require_server
from flows.database.engine import opened_engine, reading
from flows.logs import configure_logging
from flows.monitoring.jobs.registry import ScheduleEntry, StoredJob, read_jobs, schedule_history
from flows.monitoring.jobs.schedules import ScheduleSpec, schedule_in_words
from flows.monitoring.verdicts.stored import Transition, transitions_of
from flows.monitoring.verdicts.wording import clock
from flows.monitoring.vocabulary import Verdict


@dataclass(frozen=True)
class Change:
    """Something that changed, and who did it, where that is known."""

    at: datetime
    what: str
    who: str | None = None


async def run_history(
    job: Annotated[str, Parameter(help="The job, as `vibecheck status` calls it.")],
    /,
    *,
    since: Annotated[
        Moment, Parameter(help="From when on: a duration before now (24h, 7d) or an ISO time.")
    ] = timedelta(days=30),
    settings: GivenSettings,
) -> int:
    """Show what changed of a job, and when: its schedule, its verdict and its deployment.

    Without Prefect's server, what the database knows.
    """
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    now = datetime.now(settings.zone())
    begin = moment(since, now)
    async with opened_engine(settings) as engine, reading(engine) as connection:
        jobs = await read_jobs(connection)
        check_known([job], jobs)
        schedules = schedule_changes((await schedule_history(connection, begin)).get(job, ()))
        verdicts = [_verdict_change(each) for each in await transitions_of(connection, job, begin)]
    try:
        edits = await _edits(jobs[job], begin)
    except CommandFailed as error:
        console.print(f"[yellow]What was done to the deployment is not known: {escape(str(error))}", soft_wrap=True)
        edits = []
    changes = sorted([*schedules, *verdicts, *edits], key=lambda each: each.at)
    console.print(table_of_changes(changes, now) if changes else f"Nothing has changed since {clock(begin, now)}.")
    return 0


def table_of_changes(changes: Sequence[Change], now: datetime) -> Table:
    """Return the changes in their order, with who made them where that is known."""
    # A server of one's own knows nobody.
    who = ["who"] if any(change.who for change in changes) else []
    table = Table(Column("when", no_wrap=True), "what", *who)
    for change in changes:
        row = (clock(change.at, now, with_seconds=True), escape(change.what), escape(change.who or ""))
        table.add_row(*row[: len(table.columns)])
    return table


def schedule_changes(entries: Sequence[ScheduleEntry]) -> Iterator[Change]:
    """Put the entries of a job's schedule history into words."""
    for entry in entries:
        what = schedule_in_words(cast("list[ScheduleSpec]", entry.schedule))
        # The schedules of a paused job are kept, but none is active.
        yield Change(entry.valid_from, "nothing is scheduled" if entry.paused else f"scheduled: {what}")


def _verdict_change(transition: Transition) -> Change:
    before, after, reason = transition.from_status, transition.to_status, transition.reason
    if before == after and before == Verdict.HEALTHY:
        return Change(transition.at, f"warning: {reason}" if reason else "the warning is over")
    return Change(transition.at, f"verdict: {before} → {after}" + (f" ({reason})" if reason else ""))


async def _edits(job: StoredJob, since: datetime) -> list[Change]:
    """What Prefect's events tell. Raises CommandFailed where they cannot be asked for."""
    with failing_in_words():
        require_server()
        from prefect import get_client

        from flows.monitoring.jobs.edits import read_edits

        deployments = [id_ for id_ in (job.deployment_id, job.earlier_deployment_id) if id_ is not None]
        async with get_client() as client:
            return [Change(edit.at, edit.what, edit.who) for edit in await read_edits(client, deployments, since)]
