"""Serves the health application over HTTP."""

import logging
import socket

import structlog
import uvicorn

from flows.health.app import create_app
from flows.logs import configure_logging
from flows.settings import Settings

# Every answer takes less.
GRACE_SECONDS = 3

logger = structlog.stdlib.get_logger()


def serve(settings: Settings, *, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; `port` 0 takes a free one, and the log says which. Gives the exit code."""
    configure_logging(settings, to_prefect=False)
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=1_024)
    except OSError as error:
        logger.error("health_address_unavailable", host=host, port=port, error=error.strerror or str(error))  # noqa: TRY400  # the reason is enough
        return 1
    with listener:
        address, taken = listener.getsockname()[:2]
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings),
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ws="none",
            )
        )
        shown = f"[{address}]" if ":" in address else address
        logger.info("health_serving", url=f"http://{shown}:{taken}")
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
