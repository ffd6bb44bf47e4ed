"""A storm over a whole installation; then calm, and the question whether every promise was kept.

    [SEED=7] [MINUTES=5] make chaos

A seed always gives the same disturbances at the same seconds; what they meet differs, as processes do. It needs Linux.
If a promise was not kept, the seed and what was done when are printed once more, and every log is kept.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
from prefect import get_client
from sqlalchemy import URL

from flows.database.engine import DatabaseUnavailable, create_engine
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import reconcile
from tests.chaos.installation import WORKERS, Installation, installed
from tests.chaos.oracle import left_behind, unkept
from tests.chaos.plan import break_out
from tests.chaos.storm import DISTURBANCES, plan
from tests.database.postgresql_server import postgresql_server

# Longer than Prefect keeps the slot of a run that was killed while it waited for its retry: 300 s.
CALM_SECONDS = 360
# Runs send heartbeats every 30 s, and a worker is stopped for 40 s at the most.
IMPATIENT = Patience(pending_seconds=50, silent_seconds=110)
# What a process may have more than at first: connections that it keeps, and what it remembers.
MORE_DESCRIPTORS, MORE_MEGABYTES = 15, 100


class Timeline:
    """What was done when, printed as it happens."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(f"{time.monotonic() - self._began:6.1f} s  {text}")
        print(self.lines[-1], flush=True)  # noqa: T201  # what the run is watched by


async def run(folder: Path, server: URL, seed: int, minutes: float, note: Timeline) -> list[str]:
    """Let the storm pass over a fresh installation, and return the promises that were not kept."""
    if (this := asyncio.current_task()) is not None:
        # So that nothing is left behind when somebody loses patience.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with installed(folder, server, seed) as here:
        since = datetime.now(UTC)
        note("everything is started")
        if found := await _until_kept(here, since):
            return found
        before = here.costs()
        note("every job has run; the storm begins")
        async with _second_watch(here):
            await break_out(here, DISTURBANCES, plan(seed, 60 * minutes), note)
            await here.ask_sandbox("DELETE", "faults")
            note("calm")
            found = await _until_kept(here, since)
        # A worker ends after its runs, which need the others; and these count no connection of a worker any more.
        for roles in (WORKERS, ["health", "server", "sandbox"]):
            costs = here.costs()
            for role in roles:
                (descriptors, megabytes), (descriptors_before, megabytes_before) = costs[role], before[role]
                note(f"{role}: {descriptors_before} descriptors, {megabytes_before} MB; now {descriptors}, {megabytes}")
                if descriptors > descriptors_before + MORE_DESCRIPTORS or megabytes > megabytes_before + MORE_MEGABYTES:
                    found.append(f"{role} has too many descriptors, or takes too much memory")
                here.running[role].signal(signal.SIGTERM)
            for role in roles:
                if await asyncio.to_thread(here.running[role].popen.wait, 120) and role in WORKERS:
                    found.append(f"{role} did not end in order")
        note("everything was told to stop")
        return found + await left_behind(here)


async def _until_kept(here: Installation, since: datetime) -> list[str]:
    """Wait until every promise is kept; return those that are not after a while."""
    calm_since, give_up = datetime.now(UTC), time.monotonic() + CALM_SECONDS
    while (found := await unkept(here, since, calm_since)) and time.monotonic() < give_up:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(3)
    return found


@asynccontextmanager
async def _second_watch(here: Installation) -> AsyncGenerator[None]:
    """Reconcile beside the status flow, with less patience: a run that never starts would cost its job minutes.

    So a status flow that does not reconcile goes unnoticed here: tests/monitoring/reconcile/test_repair.py notices it.
    """
    engine = create_engine(here.url)

    async def watch() -> None:
        while True:
            await asyncio.sleep(7)
            with suppress(httpx.HTTPError, DatabaseUnavailable):
                async with get_client() as client:
                    live = await read_live_jobs(client, await server_now(client))
                    await reconcile(client, engine, live, patience=IMPATIENT)

    watching = asyncio.create_task(watch())
    yield
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await engine.dispose()


def main() -> int:
    """Run once. Exit code 0: every promise was kept; 1: one was not."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1000))
    minutes = float(os.environ.get("MINUTES") or 5)
    note = Timeline()
    folder = Path(tempfile.mkdtemp(prefix="vibecheck-chaos-"))
    note(f"SEED={seed} MINUTES={minutes:g}, logs: {folder}")
    with postgresql_server() as server:
        found = asyncio.run(run(folder, server, seed, minutes, note))
    if not found:
        shutil.rmtree(folder)
        note("every promise was kept")
        return 0
    sys.stderr.write("\n".join(["", *note.lines, "", "Not kept:", *found, f"Logs: {folder}", ""]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
