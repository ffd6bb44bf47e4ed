"""`vibecheck sandbox` starts a server that says where it is, quietly serves, and stops when told to."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.sandbox.server import listen
from tests.sandbox.asking import KEY

pytestmark = pytest.mark.end_to_end

PROJECT_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "deployments", "sandbox")
LIMIT_SECONDS = 60


@pytest.fixture
def port_file(tmp_path: Path) -> Path:
    return tmp_path / "port"


@pytest.fixture
def process(port_file: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = (*COMMAND, "--host", "127.0.0.1", "--port", "0", "--port-file", str(port_file))
    with subprocess.Popen(
        arguments, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def test_it_tells_its_address_serves_and_ends_on_ctrl_c(process: subprocess.Popen[str], port_file: Path) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
    response = httpx.get(
        f"{address}/v1/news/search",
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=LIMIT_SECONDS,
        trust_env=False,
    )
    assert response.json()["as_dicts"]
    assert address.endswith(f":{port_file.read_text().strip()}")
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0
    assert (rest, errors) == ("", "")


def test_a_port_that_is_taken_gets_a_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            (*COMMAND, "--port", str(port)),
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_answers_wait_for_no_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
