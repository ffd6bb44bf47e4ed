"""`vibecheck health` as its operator runs it."""

import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from flows.settings import PROJECT_ROOT


def start(database_url: str, port: int = 0) -> subprocess.Popen[str]:
    """Start the command on this database, with a Prefect server that is not there."""
    return subprocess.Popen(
        [sys.executable, "-m", "deployments", "health", "--port", str(port)],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "VIBECHECK_DATABASE_URL": database_url,
            "VIBECHECK_LOG_FORMAT": "json",
            "PREFECT_API_URL": "http://127.0.0.1:1/api",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_without_prefect_and_ends_when_told_to(sqlite_url: str, number: signal.Signals) -> None:
    process = start(sqlite_url)
    assert process.stdout is not None
    event = json.loads(process.stdout.readline())
    assert event["event"] == "health_serving"
    response = httpx.get(f"{event['url']}/health/scheduler", timeout=20)
    assert (response.status_code, response.json()["reason"]) == (503, "no_jobs")
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert output == ""


def test_an_address_that_is_taken_is_named(sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(sqlite_url, port)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    event = json.loads(output)
    assert (event["event"], event["port"]) == ("health_address_unavailable", port)
    assert "in use" in event["error"]
