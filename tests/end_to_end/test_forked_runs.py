"""Runs that are forked: as Prefect's own start would have them, and as hard to lose."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.forked_project import JOBS, STEP, ForkedProject, forked_project
from tests.support.prefect_server import wait_until

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prefect_template: Path) -> Iterator[ForkedProject]:
    """One server and one worker for all tests here; those that kill the worker start the next."""
    with forked_project(tmp_path_factory.mktemp("forked"), prefect_template) as project:
        project.start_worker()
        yield project


@pytest.fixture
def facts(project: ForkedProject) -> str:
    (project.folder / "release").unlink(missing_ok=True)
    return project.deploy("facts")


def worker_pid(project: ForkedProject) -> int:
    return project.workers[-1].popen.pid


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def release(project: ForkedProject) -> None:
    (project.folder / "release").touch()


def is_gone(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_run_is_forked_and_has_everything_of_its_own(project: ForkedProject) -> None:
    variables = {"JOB_VARIABLE": "mine", "PREFECT_CLIENT_MAX_RETRIES": "7"}
    deployment = project.deploy("facts", job_variables={"working_dir": ".", "env": variables})
    first, second = project.run(deployment), project.run(deployment)

    assert first["parent"] == second["parent"]
    assert parent_of(first["parent"]) == worker_pid(project)
    assert first["session"] == first["pid"]
    assert (first["variable"], first["retries"]) == ("mine", 7)
    assert first["folder"] == str(project.folder)
    assert first["main"] == "prefect.engine"
    assert first["random"] != second["random"]
    assert first["uuid"] != second["uuid"]


def test_a_forked_run_logs_to_prefect_and_prints_as_the_worker(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, text="heard")
    project.wait_for(run, "COMPLETED")

    def logged() -> bool:
        logs = project.prefect.api("logs/filter", logs={"flow_run_id": {"any_": [run]}})
        return "said heard" in [log["message"] for log in logs]

    wait_until(logged, seconds=20, what="the run's log")
    wait_until(lambda: "printed heard" in project.workers[-1].output(), seconds=20, what="what it printed")


def test_a_run_after_an_edit_executes_the_new_code(project: ForkedProject, facts: str) -> None:
    assert project.run(facts)["version"] == 1
    (project.folder / "jobs.py").write_text(JOBS.replace("VERSION = 1", "VERSION = 22"))
    assert project.run(facts)["version"] == 22
    (project.folder / "jobs.py").write_text(JOBS)
    assert project.run(facts)["version"] == 1


def test_a_run_with_threads_processes_and_a_loop_of_its_own_ends(project: ForkedProject) -> None:
    run = project.ask(project.deploy("busy"))
    project.wait_for(run, "COMPLETED")
    numbers = {method: [1, 2] for method in ("fork", "spawn", "forkserver")}
    expected = {"numbers": numbers, "echoed": "hello\n", "looped": "looped", "ended_early": -signal.SIGTERM}
    assert project.said(run) == expected
    # A thread that outlives its flow is waited for, as at the end of any interpreter.
    wait_until((project.folder / f"{run}.thread").exists, seconds=20, what="the run's thread")


def test_forked_runs_use_their_databases(project: ForkedProject, postgresql_url: str) -> None:
    deployment = project.deploy("databases")
    for _ in range(2):
        assert project.run(deployment, postgresql=postgresql_url) == {"found": [42, 42]}


def test_a_failing_flow_is_failed_and_a_slow_one_times_out(project: ForkedProject, facts: str) -> None:
    failed = project.wait_for(project.ask(facts, fail=True), "FAILED")
    assert "as asked" in failed["state"]["message"]
    slow = project.wait_for(project.ask(project.deploy("too_slow")), "FAILED")
    assert slow["state"]["name"] == "TimedOut"


def test_a_run_beyond_its_memory_limit_fails_and_others_run(project: ForkedProject, facts: str) -> None:
    failed = project.wait_for(project.ask(project.deploy("greedy")), "FAILED")
    assert "MemoryError" in failed["state"]["message"]
    project.run(facts)


def test_a_run_that_exits_has_crashed_with_its_exit_code(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, code=3)
    assert "status code: 3" in project.wait_for(run, "CRASHED")["state"]["message"]
    assert project.said(run, "hook")["state"] == "Crashed"


def test_a_killed_run_has_crashed_and_its_hook_runs_apart(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, wait=True)
    process = project.said(run)["pid"]
    os.kill(process, signal.SIGKILL)
    assert "status code: -9" in project.wait_for(run, "CRASHED")["state"]["message"]
    hook = project.said(run, "hook")
    assert hook["pid"] not in {process, worker_pid(project)}
    assert hook["parent"] == worker_pid(project)


def test_a_run_that_is_cancelled_ends_and_calls_its_hook(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, wait=True)
    process = project.said(run)["pid"]
    project.wait_for(run, "RUNNING")
    state = {"type": "CANCELLING", "name": "Cancelling"}
    httpx.post(f"{project.prefect.api_url}/flow_runs/{run}/set_state", json={"state": state}).raise_for_status()
    project.wait_for(run, "CANCELLED")
    assert project.said(run, "hook")["state"] == "Cancelling"
    wait_until(lambda: is_gone(process), seconds=30, what="the process's end")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"pull_steps": [{STEP: {"directory": "ELSEWHERE"}}], "entrypoint": "jobs.py:facts"}, "its code is in"),
        (
            {
                "pull_steps": [
                    {"prefect.deployments.steps.run_shell_script": {"script": "true"}},
                    {STEP: {"directory": "."}},
                ]
            },
            "its pull steps",
        ),
        (
            {"job_variables": {"working_dir": ".", "command": f"{sys.executable} -m prefect.engine"}},
            "a command of its own",
        ),
    ],
    ids=["another folder", "other steps", "a command"],
)
def test_what_is_not_this_projects_starts_cold(project: ForkedProject, more: dict[str, Any], reason: str) -> None:
    elsewhere = project.folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "jobs.py").write_text(JOBS)
    for step in more.get("pull_steps", []):
        for inputs in step.values():
            if inputs.get("directory") == "ELSEWHERE":
                inputs["directory"] = str(elsewhere)
    run = project.ask(project.deploy("facts", **more))
    project.wait_for(run, "COMPLETED")
    file = f"{run}.json"
    wait_until(
        lambda: any(folder.joinpath(file).exists() for folder in (elsewhere, project.folder)), seconds=9, what=file
    )
    (event,) = [event for event in project.events("run_starts_cold") if event["flow_run_id"] == run]
    assert reason in event["reason"]


def test_a_run_outlives_its_template_and_the_next_has_another(project: ForkedProject, facts: str) -> None:
    going, doomed = project.ask(facts, wait=True), project.ask(facts, wait=True)
    template = project.said(going)["parent"]
    process = project.said(doomed)["pid"]
    os.kill(template, signal.SIGKILL)
    wait_until(lambda: project.events("template_lost"), seconds=20, what="the worker to notice")

    after = project.run(facts)
    assert after["parent"] not in {template, worker_pid(project)}
    # What the template can no longer report, the worker finds out.
    os.kill(process, signal.SIGKILL)
    assert "status code: -9" in project.wait_for(doomed, "CRASHED")["state"]["message"]
    release(project)
    project.wait_for(going, "COMPLETED")


@pytest.mark.leaves("child process")  # the worker that it starts is the module's next
def test_a_worker_that_drains_waits_for_its_forked_runs(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, wait=True)
    template = project.said(run)["parent"]
    worker = project.workers[-1]
    worker.signal(signal.SIGTERM)
    wait_until(lambda: project.events("worker_draining"), seconds=30, what="the worker to drain")
    assert not is_gone(template)
    release(project)
    try:
        assert worker.popen.wait(timeout=60) == 0, worker.output()
    finally:
        project.start_worker()
    project.wait_for(run, "COMPLETED")
    assert is_gone(template)


def test_a_run_outlives_its_worker(project: ForkedProject, facts: str) -> None:
    run = project.ask(facts, wait=True)
    said = project.said(run)
    project.wait_for(run, "RUNNING")
    project.workers[-1].kill_group()
    wait_until(lambda: is_gone(said["parent"]), seconds=30, what="the template's end")
    assert not is_gone(said["pid"])
    release(project)
    project.wait_for(run, "COMPLETED")
    wait_until(lambda: is_gone(said["pid"]), seconds=30, what="the run's process's end")
    project.start_worker()
