"""A really running health service for tests, on a free port of this machine, in a thread of its own."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpx

from flows.monitoring.web.server import make_server, url_of
from flows.settings import Settings

START_SECONDS = 20.0
STOP_SECONDS = 20.0


@contextmanager
def running_health(settings: Settings) -> Generator[str]:
    """The base address of a health service with these settings."""
    server = make_server(settings)
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            # The listener takes connections already; this one is answered once the server runs.
            httpx.get(f"{url_of(listener)}/health", timeout=START_SECONDS, trust_env=False).raise_for_status()
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "the health service did not stop"
