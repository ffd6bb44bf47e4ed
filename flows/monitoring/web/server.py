"""Serves the health application over HTTP."""

import logging
import signal
import socket
import sys

import structlog
import uvicorn

from flows.logs import configure_logging
from flows.monitoring.web.app import create_app
from flows.patient_server import PatientServer
from flows.settings import MonitoringSettings

# Every answer takes less.
GRACE_SECONDS = 3
# Longer than proxies and monitors keep a connection that they do not use: who closes it first must not be we, or their
# next request meets a connection that is just going away.
KEEP_ALIVE_SECONDS = 75

logger = structlog.stdlib.get_logger()


def serve(settings: MonitoringSettings, *, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; `port` 0 takes a free one, and the log says which. Return the exit code."""
    configure_logging(settings, to_prefect=False)
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=1_024)
    except OSError as error:
        logger.error("health_address_unavailable", host=host, port=port, error=error.strerror or str(error))  # noqa: TRY400  # the reason is enough
        return 1
    # Whom it accepts inherits that: asyncio sees no TCP in a socket that was made without its number, and a client that
    # acknowledges late would wait for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in (signal.SIGINT, signal.SIGTERM):
        # The server obeys these and then raises them again; they must not look like a crash.
        signal.signal(number, _leave)
    with listener:
        server = make_server(settings, PatientServer)
        logger.info("health_serving", url=url_of(listener))
        server.run(sockets=[listener])
    return 0 if server.started else 1


def make_server(settings: MonitoringSettings, kind: type[uvicorn.Server] = uvicorn.Server) -> uvicorn.Server:
    """Make a quiet server for the application; run it with the sockets that it shall serve."""
    config = uvicorn.Config(
        create_app(settings),
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
    )
    return kind(config)


def url_of(listener: socket.socket) -> str:
    """Return the address to reach `listener` at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
