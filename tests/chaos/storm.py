"""What is done to an installation: drawn from a seed before it begins. Each disturbance ends by itself."""

import asyncio
import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import get_args

import httpx

from deployments.sandbox import Fault
from deployments.sandbox.faults import FaultKind
from tests.chaos.installation import POLLING_WORKERS, WORKERS, Installation
from tests.chaos.plan import Disturbance, Planned, Undo, drawn
from tests.database import troubles
from tests.support.prefect_server import wait_until
from tests.support.process_tree import kill_machine
from tests.support.wrong_clock import wrong_clock

NEWS, STORIES = "/v1/news/search", "/v1/stories"
COMES_BACK = "a poll comes back from the dead"
# Five minutes, or at least longer than a run may be silent, which is for 3 heartbeats of 30 s, and a poll more.
DEAD_SECONDS = (300.0, 155.0)
# What pages hide with these is found by the sweep, hours later.
HIDING: set[FaultKind] = {"short_page", "empty_page"}


def plan(seed: int, seconds: float) -> list[Planned]:
    """The disturbances of so many seconds, one every few; half of them are AskNews'. A seed always gives the same.

    Five minutes have room for all of them, every kind of fault and every trouble of the database among them. One whose
    target is disturbed already is left out when its time comes.
    """
    draw = random.Random(seed)  # noqa: S311  # nothing here is secret
    # Early, while there are polls: it goes on for most of a short storm.
    begin = draw.uniform(0, 20)
    longest = [Planned(begin, COMES_BACK, dead, 0) for dead in DEAD_SECONDS if begin + dead < seconds][:1]
    return longest + drawn(draw, seconds, [*[*PROCESSES, *CONNECTIONS] * 3, *TROUBLES, *FAULTS])


async def _kill(here: Installation, role: str, _event: Planned) -> tuple[str, Undo]:
    here.running[role].kill_group()
    return role, partial(here.start, role)


async def _kill_machine(here: Installation, role: str, _event: Planned) -> tuple[str, Undo]:
    kill_machine(here.running[role])
    return role, partial(here.start, role)


async def _stop_worker(here: Installation, role: str, _event: Planned) -> tuple[str, Undo]:
    return role, _stopped(here.running[role].popen.pid)


async def _skew(here: Installation, role: str, event: Planned) -> tuple[str, Undo]:
    # By as much of the interval as is promised: 10 minutes of 15.
    by = event.of(["-6s", "+6s"], 3)
    if (wrong := await asyncio.to_thread(wrong_clock, by)) is None:
        return "not done, as there is no libfaketime", None

    def restart(environment: dict[str, str]) -> None:
        here.running[role].stop()
        here.start(role, environment)

    await asyncio.to_thread(restart, wrong)
    return f"{role} by {by}", partial(restart, {})


async def _kill_run(here: Installation, _target: str, event: Planned) -> tuple[str, Undo]:
    if process_id := await _a_run(here, event):
        _signal(process_id, signal.SIGKILL)
    return str(process_id), None


async def _stop_run(here: Installation, _target: str, event: Planned) -> tuple[str, Undo]:
    process_id = await _a_run(here, event)
    return str(process_id), _stopped(process_id) if process_id else None


async def _bring_back(here: Installation, _target: str, _event: Planned) -> tuple[str, Undo]:
    """Stop a poll of the news while it waits to ask again, for so long that another one takes its place.

    That one has much to catch up with, and meets a page in the middle of it that cannot be read. And nothing but its
    own care keeps the poll that comes back from doing harm: AskNews is well by then, no request of its own has timed
    out, and its worker's machine is spared meanwhile.
    """
    wait = Fault(kind="rate_limited", path=NEWS, retry_after=9)
    while True:
        with suppress(httpx.HTTPError, AssertionError):
            faults = await here.ask_sandbox("GET", "faults")
            fired = [each["fired"] for each in faults if each.get("retry_after") == wait.retry_after]
            if fired and fired[-1]:
                going = await asyncio.to_thread(here.going, "poll_news")
                worker = here.worker_of(going[0]) if going else None
                if worker is not None and worker not in here.disturbed:
                    here.disturbed.add(worker)
                    _signal(going[0], signal.SIGSTOP)
                    await _add_fault(here, Fault(kind="wrong_shape", path=NEWS, offset=20))
                    return f"{going[0]} of {worker}", partial(_go_on_in_peace, here, worker, going[0])
            if not fired or fired[-1]:
                await _add_fault(here, wait)
        await asyncio.sleep(0.5)


async def _a_run(here: Installation, event: Planned) -> int | None:
    """The process of a run that is going; None if none is for a while."""
    for _ in range(50):
        if runs := here.runs():
            return event.of(runs)
        await asyncio.sleep(0.2)
    return None


def _go_on_in_peace(here: Installation, worker: str, process_id: int) -> None:
    with suppress(httpx.HTTPError):
        asyncio.run(here.ask_sandbox("DELETE", "faults"))
    _signal(process_id, signal.SIGCONT)
    with suppress(AssertionError):  # one that takes longer is left to the storm
        wait_until(lambda: not Path(f"/proc/{process_id}").exists(), seconds=30, what="its end")
    here.disturbed.remove(worker)


def _stopped(process_id: int) -> Callable[[], object]:
    _signal(process_id, signal.SIGSTOP)
    return partial(_signal, process_id, signal.SIGCONT)


def _signal(process_id: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process_id, number)


async def _cut(here: Installation, _target: str, _event: Planned) -> tuple[str, Undo]:
    here.proxy.cut()
    return "every connection", None


async def _stall(here: Installation, _target: str, _event: Planned) -> tuple[str, Undo]:
    here.proxy.hang()
    return "every connection", partial(asyncio.get_running_loop().call_soon_threadsafe, here.proxy.flowing.set)


async def _trouble(make: troubles.Trouble, here: Installation, _target: str, _event: Planned) -> tuple[str, Undo]:
    trouble = make(here.url)
    await trouble.__aenter__()
    loop = asyncio.get_running_loop()

    def end() -> None:
        asyncio.run_coroutine_threadsafe(trouble.__aexit__(None, None, None), loop).result()

    return "every statement", end


async def _fill_disk(here: Installation, role: str, _event: Planned) -> tuple[str, Undo]:
    # No file may be written any more, which is what a full disk does.
    process_id = here.running[role].popen.pid
    before = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (0, before[1]))

    def end() -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, before)

    return f"{role}'s", end


async def _refuse(here: Installation, _target: str, _event: Planned) -> tuple[str, Undo]:
    here.receiver.status = 500
    return "every message", partial(setattr, here.receiver, "status", 200)


async def _fault(kind: FaultKind, here: Installation, _target: str, event: Planned) -> tuple[str, Undo]:
    fault = Fault(
        kind=kind,
        path=STORIES if kind in HIDING else event.of([NEWS, NEWS, STORIES], 3),
        times=event.of([1, 2, 4, 8], 4),
        offset=event.of([None, None, 10, 20, 30], 5),
        seconds=10,
        retry_after=2,
        size_bytes=40_000_000 if kind == "gzip_bomb" else 2_000_000,
    )
    await _add_fault(here, fault)
    return f"{fault.times} times, at {fault.path}, offset {fault.offset}", None


async def _add_fault(here: Installation, fault: Fault) -> None:
    with suppress(httpx.HTTPError):  # the sandbox may be away
        await here.ask_sandbox("POST", "faults", json=[fault.model_dump(mode="json", exclude_unset=True)])


PROCESSES: dict[str, Disturbance[Installation]] = {
    "a run is killed": Disturbance(["a run"], _kill_run),
    "a run is stopped": Disturbance(["a run"], _stop_run),
    "a worker is killed": Disturbance(WORKERS, _kill),
    "a worker's machine is killed": Disturbance(WORKERS, _kill_machine),
    "a worker is stopped": Disturbance(WORKERS, _stop_worker),
    "a worker's clock is wrong": Disturbance(POLLING_WORKERS, _skew),
    "Prefect is killed": Disturbance(["server"], _kill),
    "Prefect's disk is full": Disturbance(["server"], _fill_disk),
    "AskNews is killed": Disturbance(["sandbox"], _kill),
}
CONNECTIONS: dict[str, Disturbance[Installation]] = {
    "the database is cut off": Disturbance(["proxy"], _cut),
    "the database is stalled": Disturbance(["proxy"], _stall),
    "the receiver refuses": Disturbance(["receiver"], _refuse),
}
TROUBLES: dict[str, Disturbance[Installation]] = {
    f"the database: {make.__name__}": Disturbance(["database"], partial(_trouble, make)) for make in troubles.POSTGRESQL
}
FAULTS: dict[str, Disturbance[Installation]] = {
    f"AskNews: {kind}": Disturbance(["AskNews"], partial(_fault, kind)) for kind in get_args(FaultKind)
}
DISTURBANCES = {
    COMES_BACK: Disturbance(["a poll"], _bring_back), **PROCESSES, **CONNECTIONS, **TROUBLES, **FAULTS,
}  # fmt: skip
