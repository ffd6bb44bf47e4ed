"""`vibecheck up` in a browser's reach: what pages of other web sites can do with it, and what its owner can."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.monitoring.web.test_page import BROWSER_FLAGS
from tests.support.prefect_server import PROJECT_ROOT, free_port, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]
FOREIGN = "http://elsewhere.example"


@dataclass
class RunningUp:
    """A started `vibecheck up` that is ready: its data directory, and its server's port."""

    directory: Path
    port: int
    pid: int

    def ask(self, method: str, path: str, *, body: Any = None, **headers: str) -> httpx.Response:
        """Send what a browser would send for a foreign page, whose own host name points here (DNS rebinding)."""
        sent = {"Host": f"elsewhere.example:{self.port}", "Origin": FOREIGN, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, address, content=content, headers={**sent, **changed}, timeout=60)


@pytest.fixture(scope="module")
def running_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    folder = tmp_path_factory.mktemp("up")
    directory, port = folder / "data", free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASKNEWS_", "VIBECHECK_"))}
    with (folder / "up.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments", "up", "--port", str(port)],
            cwd=PROJECT_ROOT, env={**kept, "VIBECHECK_DATA_DIRECTORY": str(directory)}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until((directory / "prefect-ui.html").exists, seconds=200, what="the start of `up`")
        yield RunningUp(directory, port, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def test_a_foreign_page_can_make_no_deployment(running_up: RunningUp) -> None:
    preflight = running_up.ask(
        "OPTIONS", "/api/deployments/",
        Access_Control_Request_Method="POST", Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers

    deployment = {"name": "foreign", "work_pool_name": "vibecheck", "job_variables": {"command": "touch /tmp/owned"}}
    for path, body in (("/api/flows/", {"name": "foreign"}), ("/api/deployments/", deployment)):
        # Also as a form or plain text, for which a browser asks nobody first.
        for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = running_up.ask("POST", path, body=body, Content_Type=content_type)
            assert answer.status_code == 401
            assert "access-control-allow-origin" not in answer.headers


def test_a_page_under_a_name_that_points_here_reads_nothing(running_up: RunningUp) -> None:
    own = f"http://elsewhere.example:{running_up.port}"
    for path in ("/api/admin/version", "/api/admin/settings", "/api/csrf-token?client=a", "/api/docs"):
        assert running_up.ask("GET", path, Origin=own).status_code == 401
    assert running_up.ask("POST", "/api/deployments/filter", body={}, Origin=own).status_code == 401


async def test_a_foreign_page_can_neither_send_events_nor_follow_them(running_up: RunningUp) -> None:
    for path in ("events/in", "events/out", "logs/out"):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://127.0.0.1:{running_up.port}/api/{path}", origin=Origin(FOREIGN))


async def test_the_link_of_up_opens_the_ui_signed_in(running_up: RunningUp) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER_FLAGS)
        try:
            page = await browser.new_page()
            refused: list[str] = []
            page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
            await page.goto((running_up.directory / "prefect-ui.html").as_uri())
            await page.wait_for_url("**/dashboard*")
            await page.get_by_role("link", name="Deployments").click()
            await page.get_by_text("poll_news").first.wait_for()
            assert refused == []

            stranger = await browser.new_page()
            await stranger.goto(f"http://127.0.0.1:{running_up.port}/")
            await stranger.get_by_placeholder("admin:pass").wait_for()
        finally:
            await browser.close()


def test_the_commands_of_another_terminal_find_it(running_up: RunningUp) -> None:
    kept = {"PATH": os.environ["PATH"], "VIBECHECK_DATA_DIRECTORY": str(running_up.directory)}
    done = subprocess.run(
        [sys.executable, "-m", "deployments", "resume"],
        cwd=PROJECT_ROOT, env=kept, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_process_has_the_password_among_its_arguments(running_up: RunningUp) -> None:
    password = (running_up.directory / "auth").read_bytes().removeprefix(b"admin:")
    holders: list[bytes] = []
    # Workers start processes of runs all the time: look more than once.
    for _ in range(20):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                holders += [line for line in [(entry / "cmdline").read_bytes()] if password in line]
    assert holders == []
