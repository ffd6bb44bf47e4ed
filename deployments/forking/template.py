"""The template: a clean process with Prefect and the project's flows imported, from which runs are forked.

`python -m deployments.forking.template DESCRIPTOR MODULE…` is started by the worker (`templates`), and ends with it:

1. Import the modules, and prepare what each run would prepare for itself. A module that cannot be imported is left to
   the runs, which say what is wrong with it.
2. Prove that a fork is safe: one thread, no event loop, no descriptor of anybody's, no database handle. If not, say why
   and end.
3. For each request, which comes with a socket: fork, if no file has changed since it was imported. The child speaks for
   itself over its socket (`forked_run`).
4. Tell the worker how each child has ended.

It speaks through one SOCK_SEQPACKET socket, a JSON object a message. It logs nothing: the worker does.
"""

import asyncio
import gc
import importlib
import json
import os
import select
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deployments.forking.sources import Sources

FORK = b"fork"
RETIRE = b"retire"

# What Prefect imports only once a run is under way.
RUN_MODULES = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
)


def main() -> None:
    """Serve the worker at the other end of the descriptor until it goes, or retires this template."""
    control = socket.socket(fileno=int(sys.argv[1]))
    started_ns = time.time_ns()
    failed = import_all((*RUN_MODULES, *sys.argv[2:]))
    prepare()
    sources = Sources.of_this_process(settings_files())
    unfit = why_unfit({control.fileno()})
    if unfit is None and (file := sources.newer_than(started_ns)) is not None:
        unfit = f"{file} changed while it was imported"
    if unfit is not None:
        _tell(control, {"unfit": unfit})
        return
    # The children share these objects with their parent for as long as nobody touches them.
    gc.collect()
    gc.freeze()
    gc.disable()
    _tell(control, {"ready": True, "failed": failed})
    Template(control, sources).serve()


def import_all(names: Iterable[str]) -> dict[str, str]:
    """Import the modules. Return what went wrong, by name."""
    failed: dict[str, str] = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  # whatever a module does, the others are worth importing
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def prepare() -> None:
    """Do once what every run would do at its first use of the log's tables, where a flow has imported them."""
    if (base := sys.modules.get("flows.database.base")) is not None:
        base.Base.registry.configure()


def settings_files() -> list[str]:
    """Return the files from which Prefect took settings when it was imported, or would have."""
    from prefect.settings import get_current_settings

    names = (".env", "prefect.toml", "pyproject.toml", "prefect.yaml")
    return [str(get_current_settings().profiles_path), *(str(Path(name).resolve()) for name in names)]


def why_unfit(own: set[int]) -> str | None:
    """Return why a child of this process might hang or share what it must not, or None. `own` descriptors are known."""
    if (threads := len(os.listdir("/proc/self/task"))) != 1:  # noqa: PTH208  # counts the threads of C libraries too
        return f"it has {threads} threads"
    with os.scandir("/proc/self/fd") as entries:
        for entry in entries:
            is_known = int(entry.name) in {0, 1, 2, *own}
            # The one that lists them is closed by the time it is looked at.
            if not is_known and (target := _target(entry.path)) is not None and target != f"/proc/{os.getpid()}/fd":
                return f"it holds {target} open"
    for item in gc.get_objects():
        if issubclass(type(item), asyncio.AbstractEventLoop | sqlite3.Connection):
            return f"it holds a {type(item).__name__}"
    return None


def _target(link: str) -> str | None:
    try:
        return str(Path(link).readlink())
    except OSError:
        return None


class Template:
    """Forks runs on request, and reports their ends."""

    def __init__(self, control: socket.socket, sources: Sources) -> None:
        self._control = control
        self._sources = sources
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._children: dict[int, int] = {}  # process ids by pidfd
        self._is_retired = False

    def serve(self) -> None:
        """Return when the worker is gone, or when this template is retired and its last child has ended."""
        while not (self._is_retired and not self._children):
            for descriptor, _events in self._poller.poll():
                if descriptor != self._control.fileno():
                    self._report_end(descriptor)
                elif not self._take_request():
                    return

    def _take_request(self) -> bool:
        """Do what the worker asks; return whether there still is a worker."""
        message, descriptors, _flags, _address = socket.recv_fds(self._control, 64, 1)
        if not message:
            return False
        if message == RETIRE:
            self._is_retired = True
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as run:
                if (changed := self._sources.changed()) is not None:
                    run.sendall(json.dumps({"refused": f"{changed} has changed"}).encode() + b"\n")
                else:
                    self._fork(run)
        return True

    def _fork(self, run: socket.socket) -> None:
        process_id = os.fork()
        if process_id == 0:
            from deployments.forking import forked_run

            try:
                self._control.close()
                for descriptor in self._children:
                    os.close(descriptor)
                forked_run.main(run)
            finally:
                os._exit(forked_run.INTERNAL_ERROR)  # whatever happened: there is one template
        pidfd = os.pidfd_open(process_id)
        self._children[pidfd] = process_id
        self._poller.register(pidfd, select.POLLIN)

    def _report_end(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        process_id = self._children.pop(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(process_id, 0)
        _tell(self._control, {"ended": process_id, "code": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    try:
        control.sendall(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the worker is gone


if __name__ == "__main__":
    main()
