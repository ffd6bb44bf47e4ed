"""The verification as people read it."""

from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.verify import timeline
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.reconcile.reconciler import reconcile
from flows.monitoring.verify.verification import Verification
from tests.monitoring.verify.logged import JOB, MINUTE, QUARTER, TICKS, log_all, verified
from tests.support.fake_prefect import FakePrefect


def printed(verification: Verification) -> str:
    console = Console(width=200, no_color=True, highlight=False)
    with console.capture() as capture:
        for line in timeline(verification):
            console.print(line, soft_wrap=True)
    return capture.get()


async def test_the_timeline_puts_like_ticks_in_one_line(prefect: FakePrefect, database: AsyncEngine) -> None:
    await log_all(prefect, database)
    swept = prefect.run(JOB, TICKS[-1] + QUARTER, "CANCELLED", name="Missed", run_count=0, lasts=2 * MINUTE)
    prefect.now = TICKS[-1] + 3 * QUARTER + MINUTE / 2
    async with prefect.client() as client:
        await reconcile(client, database, await read_live_jobs(client, prefect.now))
    nothing = "the server has no run for it, and the log has no row"
    assert printed(await verified(prefect, database)).splitlines() == [
        "Ticks from 2026-11-23 12:00:00 to 2026-11-23 14:45:30 UTC",
        "",
        "poll: 11 ticks: 8 success, 1 skipped, 1 missed, 1 pending",
        "  12:15:00 … 14:00:00 UTC                   8  success",
        "  14:15:00 UTC                              1  skipped         misfire, 120 s late, closed by the reconciler",
        "  14:30:00 UTC                              1  missed          no_run, closed by the reconciler",
        f"  14:45:00 UTC                              1  pending         {nothing}",
        "",
        "Complete: every tick and every run is accounted for.",
    ]
    async with database.begin() as connection:
        await connection.exec_driver_sql(f"DELETE FROM scheduler_execution_log WHERE execution_id = '{swept}'")  # noqa: S608  # a UUID of ours
    lines = printed(await verified(prefect, database)).splitlines()
    assert lines[-2] == "Not complete: 1 not accounted for."
    assert lines[-1].startswith(f"  poll 2026-11-23T14:15:00+00:00 (run {swept}): Prefect ended it as Missed")
