"""Ports for what tests start: free when they are chosen, and nobody else's until they are taken."""

import itertools
import os
import random
import socket

# Below the range from which Linux numbers outgoing connections: a connection of another test could take one of those
# before its server does. Each of pytest's workers has a part of its own.
_FIRST = 12_000
_WIDTH = 2_000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
_part = range(_FIRST + _worker * _WIDTH, _FIRST + (_worker + 1) * _WIDTH)
# From anywhere, for two test sessions on one machine.
_ports = itertools.islice(itertools.cycle(_part), random.randrange(_WIDTH), None)  # noqa: S311  # guards nothing


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that no other test is given soon."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError  # a cycle has no end
