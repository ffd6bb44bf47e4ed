"""A really running sandbox for tests, on a free port of this machine, in a thread of its own."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec

import httpx
from fastapi import FastAPI

from deployments.sandbox import Fault, create_app
from deployments.sandbox.gate import NotedRequest
from deployments.sandbox.server import address_of, listen, make_server
from deployments.sandbox.state import Sandbox

START_SECONDS = 20.0
STOP_SECONDS = 20.0
# The sandbox can be told to have the news of this moment: in the half hour that follows, each quarter of an hour brings
# five articles about tracked entities or more. At one hour in thirty-six there would be none.
BUSY_MOMENT = datetime(2026, 8, 25, 14, 50, tzinfo=UTC)

Options = ParamSpec("Options")


class ManualClock:
    """A clock that stands still until it is told to go on; to be passed as `create_app`'s `clock`."""

    def __init__(self, at: datetime = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **duration: float) -> None:
        """Go on by `timedelta(**duration)`."""
        self.at += timedelta(**duration)

    @property
    def timestamp(self) -> int:
        """The clock's moment in Unix seconds."""
        return int(self.at.timestamp())


@dataclass(frozen=True)
class RunningSandbox:
    """A served sandbox: `base_url` for clients over HTTP, `state` for looking inside."""

    base_url: str
    state: Sandbox

    @property
    def token_url(self) -> str:
        """Where client credentials are exchanged for a token."""
        return f"{self.base_url}/oauth2/token"

    @property
    def requests(self) -> Sequence[NotedRequest]:
        """What the API was asked so far, oldest first."""
        return list(self.state.requests)

    def add_faults(self, *faults: Fault) -> None:
        """Switch on faults."""
        self.state.faults.add(faults)

    def clear_faults(self) -> None:
        """Switch off all faults."""
        self.state.faults.clear()


def _served(make_app: Callable[Options, FastAPI]) -> Callable[Options, AbstractContextManager[RunningSandbox]]:
    """`make_app` as a context manager that serves the application and stops it at the end."""

    @contextmanager
    def running(*args: Options.args, **kwargs: Options.kwargs) -> Generator[RunningSandbox]:
        app = make_app(*args, **kwargs)
        server = make_server(app)
        with listen("127.0.0.1", 0) as listener:
            base_url = address_of(listener)
            thread = threading.Thread(
                target=server.run, kwargs={"sockets": [listener]}, name=f"sandbox at {base_url}", daemon=True
            )
            thread.start()
            try:
                # The listener takes connections already; this one is answered once the server runs.
                httpx.get(base_url, timeout=START_SECONDS, trust_env=False, verify=False).raise_for_status()
                yield RunningSandbox(base_url, app.state.sandbox)
            finally:
                server.should_exit = True
                thread.join(STOP_SECONDS)
                assert not thread.is_alive(), "the sandbox did not stop"

    return running


running_sandbox = _served(create_app)
