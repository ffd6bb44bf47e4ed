"""How a run's process forks: without losing a signal to end that comes before the child has begun.

Prefect's handler of SIGTERM raises an exception. A child inherits the handler; when SIGTERM reaches it before its first
line of code, CPython forgets the signal, and whoever has sent it waits for the child for ever. `multiprocessing` does
that to a pool whose work is done while a process of it is still starting. A run that Prefect starts has this fault too.
"""

import os
import signal

_fork = os.fork


def fork() -> int:
    """Fork as `os.fork` does, and end by SIGTERM in the child as a process does that has no handler.

    1. Hold SIGTERM back, so that it stays pending while the child is made.
    2. In the child, take Prefect's handler away: it is for the run's own process. A handler of the flow's stays.
    3. Let SIGTERM through again.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process_id = _fork()
        if process_id == 0:
            _remove_prefect_handler()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return process_id


def _remove_prefect_handler() -> None:
    from prefect.utilities.engine import _prefect_sigterm_handler  # pyright: ignore[reportPrivateUsage]  # what Prefect has set is to be removed

    # Prefect's own question for this takes a lock, which a thread of the parent may have held.
    if signal.getsignal(signal.SIGTERM) is _prefect_sigterm_handler:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
