"""The containers' healthchecks say no when the service does not do its work."""

import os
import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deployments.containers.healthcheck import Unhealthy, check_polled, check_services, check_url, main

NOW = 1_800_000_000.0


class FakeRedis(socketserver.StreamRequestHandler):
    """Answers the client's greeting, and ZRANGE with the heartbeats that it was given."""

    heartbeats: dict[str, float]

    def handle(self) -> None:
        while (line := self.rfile.readline()).startswith(b"*"):
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2).strip() for _ in range(int(line[1:]))]
            if words[0].upper() == b"ZRANGE":
                parts = [word for name, score in self.heartbeats.items() for word in (name, repr(score))]
                answer = f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
                self.wfile.write(answer.encode())
            else:
                self.wfile.write(b"+OK\r\n")


@contextmanager
def serving(server: socketserver.TCPServer) -> Generator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def redis_with(**heartbeats: float) -> Generator[str]:
    handler = type("Handler", (FakeRedis,), {"heartbeats": {f"{host}#7": at for host, at in heartbeats.items()}})
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)) as port:
        yield f"redis://127.0.0.1:{port}/1"


@contextmanager
def website(status: int) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to say."""

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/ready"


def test_an_address_that_answers_is_healthy() -> None:
    with website(200) as url:
        check_url(url)
    with pytest.raises(Unhealthy, match="refused"):
        check_url(url)
    with website(503) as url, pytest.raises(Unhealthy, match="503"):
        check_url(url)


def test_a_worker_that_has_not_polled_lately_is_unhealthy(tmp_path: Path) -> None:
    polled = tmp_path / "polled"
    with pytest.raises(Unhealthy, match="not polled yet"):
        check_polled(polled, within=60, now=NOW)
    polled.touch()
    os.utime(polled, (NOW, NOW))
    check_polled(polled, within=60, now=NOW + 60)
    with pytest.raises(Unhealthy, match="61 s ago"):
        check_polled(polled, within=60, now=NOW + 61)


def test_services_are_healthy_by_their_own_heartbeat_alone() -> None:
    with redis_with(here=NOW, elsewhere=NOW + 100) as url:
        check_services(url, host="here", within=30, now=NOW + 30)
        with pytest.raises(Unhealthy, match="31 s ago"):
            check_services(url, host="here", within=30, now=NOW + 31)
        with pytest.raises(Unhealthy, match="not reported yet"):
            check_services(url, host="new", within=30, now=NOW)
    with pytest.raises(Unhealthy, match="Redis"):
        check_services(url, host="here", within=30, now=NOW)


def test_the_command_prints_the_reason_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    polled = tmp_path / "polled"
    assert main(["polled", str(polled), "--within", "60"]) == 1
    assert capsys.readouterr().out == "The worker has not polled yet.\n"
    polled.touch()
    assert main(["polled", str(polled), "--within", "60"]) == 0
    with website(500) as url:
        assert main(["url", url]) == 1
