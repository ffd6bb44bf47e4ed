"""How fast `/health/scheduler` answers beside a bare route with the same bytes: `python -m benchmarks.answers`.

Both are served by uvicorn in processes of their own, ours by `vibecheck health` as it is shipped, over an SQLite
database with three jobs. One client with one connection asks them in turns, 500 times each in each round: so it is what
an answer costs that is measured, and not what a machine can do at once.
"""

import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

ROUNDS, REQUESTS = 20, 500
PATH = "/health/scheduler"
START_SECONDS = 60.0


def main() -> None:
    """Print the rates, the slowest hundredth, and their ratios."""
    if sys.argv[1:2] == ["--bare"]:
        serve_bare(Path(sys.argv[2]).read_bytes())
        return
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        url = f"sqlite+aiosqlite:///{Path(directory) / 'jobs.db'}"
        asyncio.run(_fill(url))
        environment = {**os.environ, "VIBECHECK_DATABASE_URL": url, "VIBECHECK_LOG_FORMAT": "json"}
        ours = stack.enter_context(_served([sys.executable, "-m", "deployments", "health", "--port", "0"], environment))
        body = Path(directory) / "body"
        body.write_bytes(_ask(ours))
        bare = stack.enter_context(_served([sys.executable, __file__, "--bare", str(body)], environment))
        seconds: dict[str, list[list[float]]] = {"ours": [], "bare": []}
        for _ in range(ROUNDS):
            for name, connection in (("ours", ours), ("bare", bare)):
                seconds[name].append([_timed(connection) for _ in range(REQUESTS)])
    rates = {name: [REQUESTS / sum(of) for of in rounds] for name, rounds in seconds.items()}
    slowest = {name: statistics.quantiles(chain.from_iterable(rounds), n=100)[-1] for name, rounds in seconds.items()}
    ratios = sorted(a / b for a, b in zip(rates["ours"], rates["bare"], strict=True))
    for name, of in rates.items():
        _tell(f"{name}: {statistics.median(of):,.0f} a second, p99 {slowest[name] * 1000:.2f} ms")
    _tell(f"rate: {statistics.median(ratios):.2f} times that ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    _tell(f"p99: {slowest['ours'] / slowest['bare']:.2f} times that")


async def _fill(url: str) -> None:
    from flows.database.engine import create_engine
    from flows.database.migrate import migrate
    from tests.monitoring.many_jobs import many

    engine = create_engine(url)
    await migrate(engine)
    await many(engine, 3)
    await engine.dispose()


def serve_bare(body: bytes) -> None:
    """Serve `body` on any path, by nothing but uvicorn."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _tell(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(app, access_log=False, log_config=None, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _served(command: list[str], environment: dict[str, str]) -> Generator[socket.socket]:
    """A connection to a server that says its address when it serves."""
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # ours
        try:
            assert server.stdout is not None  # noqa: S101  # it was asked for
            lines = iter(server.stdout.readline, "")
            port = next(int(found[1]) for line in lines if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
            with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield connection
        finally:
            server.terminate()


def _timed(connection: socket.socket) -> float:
    began = time.perf_counter()
    _ask(connection)
    return time.perf_counter() - began


def _ask(connection: socket.socket) -> bytes:
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: health\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    length = int(found[1]) if found else 0
    while len(body) < length:
        body += connection.recv(65_536)
    return body


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
