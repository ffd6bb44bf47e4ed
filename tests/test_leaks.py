"""What a test leaves behind makes it fail; what is its fixture's, Prefect's or declared does not."""

import asyncio

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine

from tests.database.postgresql_server import drop_database, run_statements
from tests.support import leaks

pytest_plugins = ["pytester"]

LEAKY = """
import asyncio, subprocess, threading, time
import pytest

over = threading.Event()
children, tasks = [], []


def start(name, target=over.wait):
    threading.Thread(target=target, name=name).start()


@pytest.fixture(scope="module")
def of_the_module():
    start("of the module")


def test_leaves_a_thread():
    start("forgotten")


def test_leaves_a_process():
    children.append(subprocess.Popen(["sleep", "60"]))


async def test_leaves_a_task():
    tasks.append(asyncio.create_task(asyncio.sleep(60)))


@pytest.mark.leaves("thread")
def test_says_what_it_leaves():
    start("declared")


def test_uses_what_is_the_modules(of_the_module):
    start("APILogWorkerThread")
    start("ends by itself", lambda: time.sleep(0.02))


def test_ends_everything():
    over.set()
    for child in children:
        child.kill()
        child.wait()
"""


def test_what_a_test_leaves_behind_fails_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE_SECONDS", 0.1)
    pytester.makepyfile(LEAKY)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    done = pytester.runpytest_inprocess("-p", "tests.support.leaks", "--strict-markers")
    done.assert_outcomes(passed=5, failed=1, errors=2)
    done.stdout.fnmatch_lines(
        [
            "*behind: thread forgotten",
            "*behind: child process *: sleep 60*",
            "*behind: tasks {*sleep*",
        ]
    )


async def test_a_connection_left_to_postgresql_is_noticed(postgresql_address: URL) -> None:
    run_statements(postgresql_address, "CREATE DATABASE left_behind")
    engine = create_async_engine(postgresql_address.set(database="left_behind"))
    async with engine.connect():
        with pytest.raises(AssertionError, match="left a connection"):
            await asyncio.to_thread(drop_database, postgresql_address, "left_behind")
    await engine.dispose()
