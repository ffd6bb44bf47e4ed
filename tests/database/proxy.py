"""A TCP proxy that stands between a test and its database, and goes wrong on command."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import make_url


@dataclass
class Proxy:
    """Passes bytes on, until it is told to hang (keep connections, pass nothing on) or to cut them all."""

    url: str = ""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def hang(self) -> None:
        """Pass nothing on any more; connections stay open."""
        self.flowing.clear()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        target = make_url(self.url)
        server, to_server = await asyncio.open_connection(target.host, target.port)
        self._writers |= {to_client, to_server}
        await asyncio.gather(self._pump(client, to_server), self._pump(server, to_client))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65_536):
                await self.flowing.wait()
                sink.write(chunk)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncGenerator[tuple[Proxy, str], None]:
    """A proxy in front of `url`'s server, and the address that leads through it."""
    proxy = Proxy(url)
    proxy.flowing.set()
    connections: set[asyncio.Task[None]] = set()

    def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(proxy.connect(client, to_client)))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy, make_url(url).set(port=port).render_as_string(hide_password=False)
    finally:
        listener.close()
        proxy.cut()
        proxy.flowing.set()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await listener.wait_closed()
