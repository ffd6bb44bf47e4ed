"""Serves the sandbox over HTTP."""

import socket

import uvicorn
from fastapi import FastAPI

from deployments.failures import CommandFailed
from deployments.sandbox.state import Sandbox

# Long enough for an answer, short enough for a fault that stalls.
_GRACE_SECONDS = 1


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that accepts connections at once. `port` 0 takes a free one. Raises CommandFailed."""
    try:
        listener = socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise CommandFailed(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port.") from error
    # asyncio sets this only on sockets that say that they are TCP, which those of `create_server` do not. Without it,
    # the second part of an answer waits until the client acknowledges the first, which takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the base address to reach `listener` at."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def make_server(app: FastAPI, kind: type[uvicorn.Server] = uvicorn.Server) -> uvicorn.Server:
    """Make a quiet server for an application made by `create_app`; run it with the sockets it shall serve."""
    sandbox: Sandbox = app.state.sandbox
    config = uvicorn.Config(
        app,
        http=sandbox.connections.protocol_class(),
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return kind(config)
