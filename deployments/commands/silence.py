"""`vibecheck silence`: people are not told of some jobs for a time; verdicts, rows and the endpoint go on."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from deployments.commands.names import Name, check_known, name_column
from deployments.failures import CommandFailed, failing_in_words
from deployments.parameters import Duration, GivenSettings
from deployments.server.environments import require_server
from flows.database.clock import database_now
from flows.database.engine import opened_engine
from flows.logs import configure_logging
from flows.monitoring.alarms.silences import SilenceRow, active_silences, lift, silence
from flows.monitoring.jobs.registry import read_jobs
from flows.monitoring.verdicts.stored import read_verdicts
from flows.monitoring.verdicts.wording import clock
from flows.monitoring.vocabulary import Verdict


async def run_silence(
    jobs: Annotated[list[str] | None, Parameter(help="The jobs; without any, list what is silenced.")] = None,
    /,
    *,
    tag: Annotated[str | None, Parameter(help="The jobs whose deployment has this tag, as well.")] = None,
    duration: Annotated[Duration | None, Parameter(name="--for", help="For how long, such as 90m, 2h or 3d.")] = None,
    until_recovery: Annotated[bool, Parameter(help="Acknowledge: until each is healthy again.")] = False,
    reason: Annotated[str, Parameter(help="Why, for those who wonder.")] = "",
    lift_it: Annotated[bool, Parameter(name="--lift", help="Tell people of these jobs again.")] = False,
    settings: GivenSettings,
) -> int:
    """Send no messages about some jobs for a time; verdicts and rows go on. Alone: list the silences."""
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    named = [*(jobs or []), *(await _tagged(tag) if tag else [])]
    async with opened_engine(settings) as engine, engine.begin() as connection:
        known = [name for name, job in (await read_jobs(connection)).items() if job.retired_at is None]
        check_known(named, known)
        if named and lift_it:
            lifted = await lift(connection, named)
            console.print(f"Lifted: {escape(', '.join(lifted))}." if lifted else "None of them was silenced.")
        elif named:
            await _silence(connection, named, duration, until_recovery=until_recovery, reason=reason)
        silences = await active_silences(connection)
        now = (await database_now(connection)).astimezone(settings.zone())
        console.print(table_of_silences(silences, now, console.width) if silences else "No job is silenced.")
    if named and duration is not None and not lift_it:
        await _hold_timers(console, named, duration)
    return 0


async def _silence(
    connection: AsyncConnection,
    names: Collection[str],
    duration: timedelta | None,
    *,
    until_recovery: bool,
    reason: str,
) -> None:
    if (duration is not None) == until_recovery:
        raise CommandFailed("Say for how long: --for 2h, or --until-recovery for jobs that are unhealthy.")
    if duration is not None and duration <= timedelta():
        raise CommandFailed("--for must be longer than nothing, for example 2h.")
    if not reason.strip():
        raise CommandFailed('Say why, for those who wonder: --reason "…".')
    if until_recovery:
        verdicts = await read_verdicts(connection)
        well = [name for name in names if name in verdicts and verdicts[name].status != Verdict.UNHEALTHY]
        if well:
            raise CommandFailed(f"There is no outage that could end: {', '.join(sorted(well))}. Use --for.")
    until = None if duration is None else await database_now(connection) + duration
    await silence(connection, set(names), until=until, reason=reason.strip())


async def _hold_timers(console: Console, names: Collection[str], duration: timedelta) -> None:
    """Let the Prefect server, which knows no silences, count these jobs as silent only after that time."""
    try:
        with failing_in_words():
            require_server()
            from prefect import get_client

            from deployments.server.timers import hold_timers

            async with get_client() as client:
                await hold_timers(client, names, duration)
    except CommandFailed as error:
        console.print(
            "[yellow]The status flow sends nothing about them. The Prefect server itself still does, if the status "
            f"flow is dead: {escape(str(error))}",
            soft_wrap=True,
        )


async def _tagged(tag: str) -> list[str]:
    """The monitored jobs whose deployment has the tag, as the server has them now.

    Raises CommandFailed if there is none, or no server is named.
    """
    require_server()
    from prefect import get_client

    from flows.monitoring.jobs.deployments import read_live_jobs
    from flows.monitoring.prefect_runs import server_now

    async with get_client() as client:
        live = await read_live_jobs(client, await server_now(client))
    found = [each.job_name for each in live if tag in each.tags]
    if not found:
        raise CommandFailed(f"No monitored job has the tag {tag!r}.")
    return found


def table_of_silences(silences: Sequence[SilenceRow], now: datetime, width: int) -> Table:
    """Return which jobs are silenced, until when and why."""
    names = name_column("job", [row.job_name for row in silences], width)
    table = Table(names, "until", Column("reason", overflow="fold"))
    for row in silences:
        until = "it has recovered" if row.until is None else clock(row.until, now)
        table.add_row(Name(row.job_name), until, escape(row.reason))
    return table
