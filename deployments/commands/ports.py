"""The ports of `vibecheck up`: the next free ones where they are taken, and the same after a restart."""

import json
import socket
from contextlib import suppress
from pathlib import Path

from deployments.commands.data_directory import write_private
from deployments.commands.processes import StartFailed

# What listens there, and where it does at first; the sandbox follows the server.
PREFECT = "Prefect server"
STATUS_PAGE = "status page"
SANDBOX = "sandbox"
_DEFAULTS = {PREFECT: 4200, STATUS_PAGE: 8080}
_FILE = "ports.json"
_TRIED = 100
_LAST = 65_535


class Ports:
    """The ports of one data directory, which remembers them."""

    def __init__(self, directory: Path) -> None:
        """`directory` must be there."""
        self._file = directory / _FILE
        self._remembered: dict[str, int] = {}
        # One that was cut off is as good as none.
        with suppress(FileNotFoundError, ValueError):
            self._remembered = json.loads(self._file.read_text())
        self._chosen: set[int] = set()

    def choose(self, what: str, wanted: int | None) -> tuple[int, int]:
        """Return a free port of 127.0.0.1 for `what`, and the one that was tried first.

        That is `wanted`, or else what it had the last time; the next free one follows. Raises StartFailed if there is
        none among the next hundred.
        """
        first = wanted or self._remembered.get(what, _DEFAULTS[what])
        tried = range(first, min(first + _TRIED, _LAST + 1))
        port = next((port for port in tried if port not in self._chosen and _is_free(port)), None)
        if port is None:
            raise StartFailed(f"No port from {first} to {tried[-1]} is free for the {what}: choose another.")
        self._chosen.add(port)
        self._remembered[what] = port
        write_private(self._file, json.dumps(self._remembered))
        return port, first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
