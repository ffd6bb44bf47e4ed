"""The drill breaks its own containers alone, and does not call a blow survived that hit nothing.

In docker's place stands a program that answers as the drill's containers would.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.drill import kill_worker, restart_postgres
from deployments.drill_stack import DrillFailed, Stack
from deployments.settings_document import COMPOSE_VARIABLES, settings_variables

FAKE_DOCKER = """#!{python}
import pathlib, sys
folder = pathlib.Path({folder!r})
command = " ".join(sys.argv[1:])
with (folder / "commands").open("a") as file:
    file.write(command + "\\n")
def told(name):
    return (folder / name).read_text()
if "SELECT r.id" in command:
    print(*[run + "\\n" for run in ("earlier", "later") if (folder / run).exists()], sep="", end="")
    (folder / "earlier").unlink(missing_ok=True)
elif "deployment run" in command:
    (folder / "later").touch()
    print("UUID: later")
elif "SELECT state_type" in command:
    print(told("state"))
elif "SELECT status" in command:
    print(told("row"))
elif "SELECT count" in command:
    (folder / "successes").write_text(str(int(told("successes")) + 1))
    print(told("successes"))
elif "ps -q" in command:
    print("container-of-" + sys.argv[-1])
"""
BLOWS: dict[Callable[[Stack], None], str] = {
    kill_worker: "kill container-of-worker",
    restart_postgres: "restart container-of-postgres",
}


class Containers:
    """What the stand-in for docker answers, and what it was told to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer(state="RUNNING", row="failure", successes="0")

    def answer(self, **answers: str) -> None:
        for name, text in answers.items():
            (self.folder / name).write_text(text)

    def a_poll_is_going(self) -> None:
        """It ends as soon as it was seen."""
        (self.folder / "earlier").touch()

    @property
    def commands(self) -> list[str]:
        return (self.folder / "commands").read_text().splitlines()


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containers:
    program = tmp_path / "docker"
    program.write_text(FAKE_DOCKER.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Containers(tmp_path)


@pytest.fixture
def stack(containers: Containers) -> Stack:
    return Stack(containers.folder, image="vibecheck-pipeline")


@pytest.mark.parametrize("item", BLOWS)
def test_a_blow_that_hits_a_run_is_survived(
    item: Callable[[Stack], None], stack: Stack, containers: Containers
) -> None:
    item(stack)

    assert BLOWS[item] in containers.commands


@pytest.mark.parametrize("item", BLOWS)
def test_a_run_that_had_ended_before_the_blow_proves_nothing(
    item: Callable[[Stack], None], stack: Stack, containers: Containers
) -> None:
    containers.answer(state="COMPLETED", row="success")

    with pytest.raises(DrillFailed, match="ended before"):
        item(stack)

    assert BLOWS[item] not in containers.commands


def test_a_killed_run_that_succeeds_proves_nothing(stack: Stack, containers: Containers) -> None:
    containers.answer(row="success")

    with pytest.raises(DrillFailed, match="succeeded"):
        kill_worker(stack)


def test_a_poll_that_may_be_past_its_slow_page_is_not_the_one_that_is_hit(stack: Stack, containers: Containers) -> None:
    containers.a_poll_is_going()

    kill_worker(stack)

    asked = [found for command in containers.commands for found in re.findall("SELECT status.*'(.*)'", command)]
    assert set(asked) == {"later"}


def test_nothing_of_the_operators_own_installation_reaches_the_drill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [variable.name for variable in (*COMPOSE_VARIABLES, *settings_variables())]
    for name in [*names, "COMPOSE_PROFILES", "PREFECT_API_URL"]:
        monkeypatch.setenv(name, "the operator's")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/elsewhere.sock")

    environment = Stack(tmp_path, image="vibecheck-pipeline").environment

    assert [name for name, value in environment.items() if value == "the operator's"] == []
    assert environment["DOCKER_HOST"] == "unix:///run/elsewhere.sock"
    assert environment["PATH"] == os.environ["PATH"]
