"""Lets the application break its own connections, which an ASGI server otherwise keeps to itself."""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]

# Linger on, for zero seconds: closing then sends a reset instead of an orderly end.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connections:
    """The open connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def protocol_class(self) -> type[H11Protocol]:
        """Return uvicorn's HTTP protocol, which here also tells this object of each connection."""
        transports = self._transports

        class KnownProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio hands over a Transport
                super().connection_made(transport)
                transports[_peer(transport)] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(_peer(self.transport), None)
                super().connection_lost(exc)

        return KnownProtocol

    def reset(self, client: Address) -> None:
        """Break the client's connection so that it sees a reset; nothing happens if the client has gone already."""
        if (transport := self._transports.get(client)) is None:
            return
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def close(self, client: Address) -> None:
        """End the client's connection once what was written has been sent; as `reset`, if the client has gone."""
        if (transport := self._transports.get(client)) is not None:
            transport.close()


def _peer(transport: asyncio.Transport) -> Address:
    address: Any = transport.get_extra_info("peername")
    return (address[0], address[1])
