"""Processes of `up` that end by themselves: started again after growing pauses, until one keeps ending."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from deployments.commands import restarts as module
from deployments.commands.processes import Child, Children
from deployments.commands.restarts import KeepsEnding, Restart, Restarts

SECONDS = 30
WAITS = "import signal; signal.pause()"
ENDS = "raise SystemExit(3)"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)


@asynccontextmanager
async def kept(folder: Path, code: str) -> AsyncGenerator[tuple[Child, Restarts]]:
    """A process that runs `code`, and who keeps it running."""
    child, restarts = await Children(folder).start("worker", "-c", code, environment={}), Restarts()
    try:
        async with restarts.keeping([child]):
            yield child, restarts
    finally:
        await child.stop(wait_seconds=SECONDS)


async def next_news(restarts: Restarts) -> None:
    async with asyncio.timeout(SECONDS):
        await restarts.news.wait()
    restarts.news.clear()
    restarts.check()


async def pauses_until_given_up(restarts: Restarts) -> list[timedelta]:
    pauses: list[timedelta] = []
    with suppress(KeepsEnding):
        while True:
            await next_news(restarts)
            latest = restarts.latest["worker"]
            if (pause := latest.again_at - latest.at) not in pauses:
                pauses.append(pause)
    return pauses


async def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async with kept(tmp_path, WAITS) as (child, restarts):
        first = child.process.pid
        child.signal_process(signal.SIGKILL)
        await next_news(restarts)
        assert restarts.latest["worker"].how_it_ended == "was ended by SIGKILL"
        if not child.is_running:
            await next_news(restarts)
        assert child.is_running
        assert child.process.pid != first


async def test_a_process_that_keeps_ending_is_given_up_in_the_end(tmp_path: Path) -> None:
    async with kept(tmp_path, ENDS) as (_child, restarts):
        assert await pauses_until_given_up(restarts) == [timedelta(milliseconds=10 * 2**k) for k in range(5)]
        with pytest.raises(KeepsEnding, match=r"started again 5 times, and ended with exit code 3\. Its log: .*worker"):
            restarts.check()


async def test_a_process_that_ran_well_may_end_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WELL_AFTER_SECONDS", 0.0)
    async with kept(tmp_path, ENDS) as (child, restarts):
        processes = {child.process.pid}
        while len(processes) < module.MOST_RESTARTS + 3:
            await next_news(restarts)
            processes.add(child.process.pid)


@pytest.mark.parametrize(
    ("seconds_later", "expected"),
    [
        (0, "worker was ended by SIGKILL at 14:00:00 CET; it will be started again at 14:00:02 CET. Its log: w.log"),
        (2, "worker was ended by SIGKILL at 14:00:00 CET; it was started again at 14:00:02 CET. Its log: w.log"),
    ],
)
def test_a_restart_is_told_in_words(seconds_later: int, expected: str) -> None:
    at = datetime(2026, 11, 24, 13, tzinfo=UTC)
    restart = Restart(
        name="worker",
        how_it_ended="was ended by SIGKILL",
        log=Path("w.log"),
        at=at,
        again_at=at + timedelta(seconds=2),
    )
    now = (at + timedelta(seconds=seconds_later)).astimezone(ZoneInfo("Europe/Berlin"))
    assert restart.in_words(now) == expected
