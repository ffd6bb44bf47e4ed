"""A run's process, from the fork of the template to its end: as `python -m prefect.engine` would be, only sooner.

1. Make a session, so that signals for the run's process group reach it, its children and nothing else.
2. Say which process this is, and wait for the run. A worker that has changed its mind has closed the socket.
3. Become what a new interpreter would be: the run's environment whole, the settings and the logging that follow from
   it, random numbers of its own. Its own children can be ended at any time (`own_fork`).
4. Run Prefect's engine as the main module.
5. End as an interpreter ends, without taking its modules apart: that takes 0.4 s, and nobody sees it.
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from deployments.forking import own_fork

INTERNAL_ERROR = 70
ENGINE = "prefect.engine"


def main(worker: socket.socket) -> NoReturn:
    """Execute the run that `worker` sends, and end the process."""
    os.setsid()
    channel = worker.makefile("rwb")
    channel.write(json.dumps({"process_id": os.getpid()}).encode() + b"\n")
    channel.flush()
    line = channel.readline()
    if not line:
        os._exit(0)
    request = json.loads(line)
    become(request["environment"], is_silent=request["is_silent"])
    code = _exit_code()
    _finish()
    with suppress(OSError):  # the worker may be gone
        channel.write(json.dumps({"code": code}).encode() + b"\n")
        channel.flush()
    os._exit(code)


def become(environment: dict[str, str], *, is_silent: bool) -> None:
    """Turn a copy of the template into the process of a run with `environment`."""
    gc.enable()
    if is_silent:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.fork = own_fork.fork
    importlib.invalidate_caches()
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    _show_in_process_list(environment["PREFECT__FLOW_RUN_ID"])
    _read_settings()


def _show_in_process_list(flow_run_id: str) -> None:
    """Name the process after its run, in the 15 characters that Linux has for that."""
    Path("/proc/self/comm").write_text(f"run {flow_run_id[:8]}")


def _read_settings() -> None:
    from prefect.context import refresh_global_settings_context
    from prefect.logging import configuration

    from flows.settings import load_settings

    load_settings.cache_clear()
    refresh_global_settings_context()
    configuration.PROCESS_LOGGING_CONFIG.clear()  # or it would only be amended
    configuration.setup_logging()


def _exit_code() -> int:
    """Run the engine; return the exit code that an interpreter would give."""
    sys.argv = [ENGINE]
    sys.modules.pop(ENGINE, None)
    try:
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return _code_of(stop.code)
    except KeyboardInterrupt:
        traceback.print_exc()
        _finish()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return INTERNAL_ERROR
    except BaseException:  # noqa: BLE001  # as an interpreter does
        traceback.print_exc()
        return 1
    return 0


def _code_of(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)  # noqa: T201  # as an interpreter does
    return 1


def _finish() -> None:
    """Wait for the run's threads, call what wants to be called at exit, and flush: an interpreter's own order."""
    # Neither has a public name; multiprocessing ends its forked children with both.
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # see above
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # see above
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by the run, or by whoever read it
            stream.flush()
