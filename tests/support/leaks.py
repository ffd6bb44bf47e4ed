"""No test leaves anything behind: a thread, a child process or a task of asyncio's fails the test that left it.

A connection to SQLite is a thread of its driver's. One to PostgreSQL, and so an open transaction, is noticed where the
test's database is dropped. A socket or a file is a ResourceWarning of Python's own, which is an error here.

What the fixture of a module or of the session starts is that fixture's. A test that leaves something on purpose says
so: `@pytest.mark.leaves("child process")`, with the reason beside it.
"""

import asyncio
import threading
import time
from collections.abc import Generator, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

THREAD, CHILD, TASK = "thread", "child process", "task"
# What was told to end may take so long for it.
PATIENCE_SECONDS = 10.0
# Prefect's client and its engine keep these until the process ends, and have no call that ends them.
PREFECTS = ("GlobalEventLoopThread", "RunSyncEventLoopThread", "APILogWorkerThread", "EventsWorkerThread")

Things = dict[str, Set[object]]
_before = pytest.StashKey[Things]()
# What fixtures of modules and of the session have started so far.
_lasting: set[object] = set()


def there_is() -> Things:
    """The threads and the children of this process, but for those that are Prefect's."""
    threads = {each for each in threading.enumerate() if each.name not in PREFECTS}
    children: set[object] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # its thread has just ended
            children.update(int(pid) for pid in task.read_text().split())
    return {THREAD: threads, CHILD: children}


def left_since(before: Things, declared: Set[str] = frozenset()) -> list[str]:
    """What there is that was not there `before`, in words, once what is about to end has had some time."""

    def new() -> list[str]:
        return [
            f"{what} {_name(each)}"
            for what, things in there_is().items()
            for each in things - before[what] - _lasting
            if what not in declared
        ]

    give_up = time.monotonic() + PATIENCE_SECONDS
    while (left := new()) and time.monotonic() < give_up:
        time.sleep(0.01)
    return left


def _name(thing: object) -> str:
    if isinstance(thing, threading.Thread):
        return thing.name
    with suppress(OSError):
        return f"{thing}: {Path(f'/proc/{thing}/cmdline').read_text().replace(chr(0), ' ')}"
    return str(thing)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "leaves(*what): leaves these behind on purpose")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Note what a fixture starts that outlives a test."""
    if fixturedef.scope == "function":
        return (yield)
    before = there_is()
    result = yield
    for what, things in there_is().items():
        _lasting.update(things - before[what])
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Note what there is before the test and its fixtures."""
    item.stash[_before] = there_is()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Compare with it when all fixtures of the test are done."""
    result = yield
    if left := left_since(item.stash[_before], _declared(item)):
        pytest.fail(f"The test left behind: {'; '.join(left)}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Compare the tasks of the test's event loop, which pytest-asyncio would end without a word."""
    runner = pyfuncitem.funcargs.get("_function_scoped_runner")
    if not isinstance(runner, asyncio.Runner) or TASK in _declared(pyfuncitem):
        return (yield)
    before = asyncio.all_tasks(runner.get_loop())
    result = yield
    if left := asyncio.all_tasks(runner.get_loop()) - before:
        runner.run(asyncio.wait(left, timeout=PATIENCE_SECONDS))
        left = {str(each.get_coro()) for each in left if not each.done()}
        assert not left, f"The test left behind: tasks {left}"
    return result


def _declared(item: pytest.Item) -> set[str]:
    return {what for marker in item.iter_markers("leaves") for what in marker.args}
