"""`vibecheck up`, the README's first command: what its owner gets, and what pages of other web sites can do with it.

All tests share one `up`; the last one stops it, and starts the next.
"""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.support.chromium import running_chromium
from tests.support.ports import free_port
from tests.support.prefect_server import wait_until
from tests.support.running_up import FOREIGN, RunningUp, running_up

pytestmark = pytest.mark.end_to_end
JOBS = ("poll_news", "poll_stories", "pipeline_status")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    directory = tmp_path_factory.mktemp("up") / "data"
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        running_up(directory, "--port", str(port), "--health-port", str(port)) as up,
    ):
        up.wait_until_ready()
        assert f"Port {port} is taken: the Prefect server uses {up.port}." in up.text()
        # What a job's rows tell is there from its first success on.
        wait_until(lambda: all(up.rows()[job, "success"] for job in JOBS), seconds=240, what="a success of each job")
        yield up


def test_each_job_runs_at_once_and_no_tick_meets_its_run(up: RunningUp) -> None:
    assert all(up.rows()[job, "success"] for job in JOBS)
    assert not [status for _, status in up.rows() if status in ("skipped", "missed", "cancelled")]


def test_it_says_where_everything_is_and_that_news_is_made_up(up: RunningUp) -> None:
    assert "sandbox" in up.text()
    assert re.search(r"Prefect UI\s+file://\S+/prefect-ui.html\n\s+signs you in at http://127.0.0.1:\d+\n", up.text())
    assert re.search(rf"Status page\s+http://127.0.0.1:{up.ports['status page']}\n", up.text())
    told = up.command("status", "--json")
    assert json.loads(told.stdout)["data_notes"] == ["sandbox: made-up news"], told.stderr


def test_the_commands_of_another_terminal_find_it(up: RunningUp) -> None:
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "poll_news" in verified.stdout
    resumed = up.command("resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_a_second_one_is_refused(up: RunningUp) -> None:
    with running_up(up.directory) as second:
        assert second.process.wait(timeout=60) == 1
        assert "running already" in second.text()
        assert "goes on from here" not in second.text()


def test_a_foreign_page_can_make_no_deployment(up: RunningUp) -> None:
    preflight = up.ask(
        "OPTIONS", "/api/deployments/",
        Access_Control_Request_Method="POST", Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers

    deployment = {"name": "foreign", "work_pool_name": "vibecheck", "job_variables": {"command": "touch /tmp/owned"}}
    for path, body in (("/api/flows/", {"name": "foreign"}), ("/api/deployments/", deployment)):
        # Also as a form or plain text, for which a browser asks nobody first.
        for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = up.ask("POST", path, body=body, Content_Type=content_type)
            assert answer.status_code == 401
            assert "access-control-allow-origin" not in answer.headers


def test_a_page_under_a_name_that_points_here_reads_nothing(up: RunningUp) -> None:
    own = f"http://elsewhere.example:{up.port}"
    for path in ("/api/admin/version", "/api/admin/settings", "/api/csrf-token?client=a", "/api/docs"):
        assert up.ask("GET", path, Origin=own).status_code == 401
    assert up.ask("POST", "/api/deployments/filter", body={}, Origin=own).status_code == 401


async def test_a_foreign_page_can_neither_send_events_nor_follow_them(up: RunningUp) -> None:
    for path in ("events/in", "events/out", "logs/out"):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://127.0.0.1:{up.port}/api/{path}", origin=Origin(FOREIGN))


async def test_the_link_of_up_opens_the_ui_signed_in(up: RunningUp) -> None:
    async with running_chromium() as browser:
        page = await browser.new_page()
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        await page.goto((up.directory / "prefect-ui.html").as_uri())
        await page.wait_for_url("**/dashboard*")
        await page.get_by_role("link", name="Deployments").click()
        await page.get_by_text("poll_news").first.wait_for()
        assert refused == []

        stranger = await browser.new_page()
        await stranger.goto(f"http://127.0.0.1:{up.port}/")
        await stranger.get_by_placeholder("admin:pass").wait_for()


def test_no_process_has_the_password_among_its_arguments(up: RunningUp) -> None:
    password = (up.directory / "auth").read_bytes().removeprefix(b"admin:")
    holders: list[bytes] = []
    # Workers start processes of runs all the time: look more than once.
    for _ in range(20):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                holders += [line for line in [(entry / "cmdline").read_bytes()] if password in line]
    assert holders == []


def test_a_killed_process_is_started_again(up: RunningUp) -> None:
    def worker() -> int | None:
        return next((pid for pid, command in up.processes().items() if "worker --pool vibecheck " in command), None)

    killed = worker()
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: worker() not in (None, killed), seconds=60, what="another worker")
    told = r"worker-vibecheck was ended by SIGKILL at [\d:]+ UTC; it will be started again at [\d:]+ UTC\."
    wait_until(lambda: re.search(told, up.text()), seconds=30, what="a line about it")


def test_ctrl_c_leaves_no_process_and_the_next_up_goes_on(up: RunningUp) -> None:
    assert up.stop() == 0
    assert up.text().endswith("Stopped. `make up` goes on from here.\n")
    assert up.processes() == {}
    before, ports = up.rows(), up.ports

    # What was due meanwhile must not take the slots that the start-up runs need.
    assert up.make_planned_runs_late() > 3
    with running_up(up.directory) as again:

        def jobs_went_on() -> bool:
            return all(again.rows()[job, "success"] > before[job, "success"] for job in JOBS)

        wait_until(jobs_went_on, seconds=240, what="a success of each of the second start's own runs")
        again.wait_until_ready()
        assert again.ports == ports
        assert again.stop() == 0
        assert again.processes() == {}
