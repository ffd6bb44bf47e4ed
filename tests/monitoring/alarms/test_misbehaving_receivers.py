"""Receivers that do not behave: none is believed, none holds the status flow up, and none keeps its process alive."""

import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress

import pytest
from pydantic import SecretStr

from flows.monitoring.alarms import delivery
from flows.monitoring.alarms.delivery import NotDelivered, deliver
from flows.monitoring.alarms.messages import Kind
from flows.monitoring.alarms.receivers import Receiver
from tests.monitoring.alarms.test_delivery import message, notice
from tests.support.prefect_server import wait_until

Behaviour = Callable[[socket.socket, threading.Event], None]


def hangs(_connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def resets(connection: socket.socket, _over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def redirects(connection: socket.socket, _over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n")


def drips(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b"x")


def floods(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
    sent = 0
    while not over.is_set():
        sent += connection.send(b"x" * 65_536)
        assert sent < 50_000_000, "somebody reads on"


def says_nonsense(connection: socket.socket, _over: threading.Event) -> None:
    connection.sendall(b"\0" * 1000)


@contextmanager
def receiver_that(behaves: Behaviour) -> Generator[int]:
    """The port of a receiver that takes one request, and then behaves so until the end of the block."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                behaves(connection, over)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, name="receiver")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give up after half a second, and leave no thread to the next test."""
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 0.5)
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before, seconds=10, what="the end of what was given up")


@pytest.mark.parametrize("behaves", [hangs, resets, redirects, drips, floods, says_nonsense])
async def test_a_receiver_that_misbehaves_is_known_not_to_be_told(behaves: Behaviour) -> None:
    before = set(threading.enumerate())
    with receiver_that(behaves) as port:
        receiver = Receiver("default", "VIBECHECK_NOTIFICATION", SecretStr(f"json://127.0.0.1:{port}/alarms"))
        with pytest.raises(NotDelivered):
            await deliver(receiver, message(notice(Kind.ALARM)), source="staging")
        # Whatever still waits for the receiver, the process ends without it: for a daemon thread Python does not wait.
        left = {thread for thread in set(threading.enumerate()) - before if thread.name != "receiver"}
        assert {(thread.name, thread.daemon) for thread in left} <= {("notification", True)}
        assert left or behaves is not hangs
