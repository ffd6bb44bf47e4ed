"""What `vibecheck up` does between its server's start and its stop."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from deployments.commands.processes import Children
from deployments.commands.up import drained_at_the_end

# A worker with a run in its hands, which takes a moment after SIGTERM.
WORKER = """
import pathlib, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
pathlib.Path(sys.argv[1], "started").touch()
signal.sigwait([signal.SIGTERM])
time.sleep(0.5)
pathlib.Path(sys.argv[1], "finished").touch()
"""


async def test_an_error_while_everything_runs_cuts_no_run_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.commands.up.STOP_SECONDS", 0.0)
    children = Children(tmp_path / "logs")

    async def fail_while_a_run_goes() -> None:
        async with drained_at_the_end(children, Console(file=io.StringIO())):
            await children.start("worker-polls", "-c", WORKER, str(tmp_path), environment={})
            async with asyncio.timeout(30):
                while not (tmp_path / "started").exists():  # noqa: ASYNC110  # a file cannot be awaited
                    await asyncio.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_while_a_run_goes()

    assert (tmp_path / "finished").exists()
    assert [child.process.returncode for child in children.all] == [0]
