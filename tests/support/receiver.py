"""A receiver of notifications and pings on this machine: a real HTTP server that can be told to refuse."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Who calls the receiver says it; nobody may say it anywhere else.
PASSWORD = "sentinel_of_the_receiver_8e2a"


@dataclass
class Received:
    """A request that was accepted."""

    path: str
    body: str
    at: float = field(default_factory=time.monotonic)

    @property
    def message(self) -> dict[str, Any]:
        """The body of an Apprise `json://` notification: `title` and `message`."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What has arrived, in order; with `status` 500 nothing is accepted, but attempts are counted.

    While `answers` is not set, whoever asks waits.
    """

    port: int
    status: int = 200
    answer: bytes = b""
    answers: threading.Event = field(default_factory=threading.Event)
    accepted: list[Received] = field(default_factory=list[Received])
    refused: int = 0

    @property
    def apprise_url(self) -> str:
        return f"json://reporter:{PASSWORD}@127.0.0.1:{self.port}/alarms"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ping/secret-uuid"

    @property
    def subjects(self) -> list[str]:
        return [received.message["title"] for received in self.accepted if received.path == "/alarms"]

    @property
    def bodies(self) -> list[str]:
        return [received.message["message"] for received in self.accepted if received.path == "/alarms"]


@contextmanager
def running_receiver() -> Generator[Receiver]:
    """A receiver on a free port, until the end of the block."""
    receiver = Receiver(port=0)
    receiver.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            if receiver.status < 300:
                receiver.accepted.append(Received(self.path, body))
            else:
                receiver.refused += 1
            receiver.answers.wait()
            self.send_response(receiver.status)
            self.send_header("content-length", str(len(receiver.answer)))
            self.end_headers()
            with suppress(OSError):  # whoever asks need not read all of it
                self.wfile.write(receiver.answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
