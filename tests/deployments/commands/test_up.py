"""What `vibecheck up` does between its server's start and its stop."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from deployments.commands.processes import Children, StartFailed, wait_until
from deployments.commands.startup import WantedPorts, start
from deployments.commands.up import drained_at_the_end
from deployments.server.environments import client_environment
from flows.database.engine import DatabaseUnavailable
from flows.settings import Settings

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


async def test_what_answers_in_place_of_an_ended_server_is_not_it(tmp_path: Path) -> None:
    child = await Children(tmp_path / "logs").start("prefect-server", "-c", "raise SystemExit(3)", environment={})
    await child.process.wait()

    async def another_answers() -> bool:
        return True

    with pytest.raises(StartFailed, match="prefect-server ended with exit code 3"):
        await wait_until(another_answers, child, seconds=30)


async def test_an_absent_database_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_API_AUTH_STRING", *client_environment(api_url="", home=tmp_path)):
        monkeypatch.setenv(name, "")  # what it sets is taken back
    away = "postgresql+asyncpg://somebody:secret@127.0.0.1:1/pipeline"
    mine = Settings.model_validate(
        {"data_directory": tmp_path, "database_url": away, "ASKNEWS_API_KEY": "a key", "notification": None}
    )
    children, output = Children(tmp_path / "logs"), io.StringIO()
    with pytest.raises(DatabaseUnavailable):
        await start(mine, WantedPorts(), children, Console(file=output))
    assert (children.all, "Starting" in output.getvalue()) == ([], False)
