"""The health service for tests: really running, on a free port of this machine, or as an application alone."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from flows.monitoring.web.app import create_app
from flows.monitoring.web.server import make_server, url_of
from flows.settings import Settings

START_SECONDS = 20.0
STOP_SECONDS = 20.0
# Far more than an answer takes, and far less than the database's own timeouts.
PATIENCE_SECONDS = 15.0


@contextmanager
def running_health(settings: Settings) -> Generator[str]:
    """The base address of a health service with these settings."""
    server = make_server(settings)
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            # The listener takes connections already; this one is answered once the server runs.
            httpx.get(
                f"{url_of(listener)}/health", timeout=START_SECONDS, trust_env=False, verify=False
            ).raise_for_status()
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "the health service did not stop"


@asynccontextmanager
async def asking(database_url: str, **settings: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a started application."""
    app = create_app(Settings.model_validate({"database_url": database_url, **settings}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://health", timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


async def until(client: httpx.AsyncClient, reason: str | None) -> None:
    """Ask until that is the reason for the verdict. Each answer is kept for a second."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if (await client.get("/health/scheduler")).json()["reason"] == reason:
                return
            await asyncio.sleep(0.05)
