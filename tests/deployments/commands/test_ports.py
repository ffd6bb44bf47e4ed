"""The ports of `vibecheck up`: free, the next ones where some are taken, and the same after a restart."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deployments.commands.ports import PREFECT, STATUS_PAGE, Ports
from deployments.commands.processes import StartFailed


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken; whether the ones after it are free, a test must not rely on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_moves_to_the_next_free_one(tmp_path: Path, taken: int) -> None:
    port, first = Ports(tmp_path).choose(PREFECT, taken)
    assert first == taken
    assert taken < port < taken + 100


def test_a_port_is_the_same_after_a_restart(tmp_path: Path, taken: int) -> None:
    port, _ = Ports(tmp_path).choose(PREFECT, taken)
    assert Ports(tmp_path).choose(PREFECT, None) == (port, port)


def test_a_port_that_is_asked_for_wins_over_the_remembered_one(tmp_path: Path, taken: int) -> None:
    Ports(tmp_path).choose(STATUS_PAGE, taken + 1)
    assert Ports(tmp_path).choose(STATUS_PAGE, taken)[1] == taken


def test_two_servers_get_two_ports(tmp_path: Path, taken: int) -> None:
    ports = Ports(tmp_path)
    assert ports.choose(PREFECT, taken)[0] != ports.choose(STATUS_PAGE, taken)[0]


def test_a_damaged_memory_counts_as_none(tmp_path: Path, taken: int) -> None:
    (tmp_path / "ports.json").write_text('{"Prefect ser')
    assert Ports(tmp_path).choose(PREFECT, taken)[0] > taken


def test_where_no_port_is_free_that_is_said(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 65_535)))
        with pytest.raises(StartFailed, match="No port from 65535 to 65535 is free for the status page"):
            Ports(tmp_path).choose(STATUS_PAGE, listener.getsockname()[1])
