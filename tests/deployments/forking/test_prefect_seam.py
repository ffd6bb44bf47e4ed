"""What forking needs of Prefect's inside is there; where it is not, runs start as Prefect starts them."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.processutils import run_process
from structlog.testing import capture_logs

from deployments.forking.prefect_seam import supervised, why_unsupported
from deployments.forking.starter import warm_starts

STARTER: Any = import_module("prefect.runner._starter_engine")


def test_this_prefect_has_the_seam() -> None:
    assert why_unsupported() is None


def test_prefects_own_command_is_recognised() -> None:
    workspace_starter = import_module("prefect.runner._workspace_starter")
    assert workspace_starter.__file__ is not None
    assert '"prefect.runner._workspace_supervisor"' in Path(workspace_starter.__file__).read_text()
    command = [sys.executable, "-m", "prefect.runner._workspace_supervisor", "/tmp/supervisor.json"]
    assert str(supervised(command)) == "/tmp/supervisor.json"
    assert supervised([sys.executable, "-m", "prefect.engine"]) is None


async def test_the_seam_is_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    async with warm_starts("vibecheck") as starter:
        assert starter is not None
        assert STARTER.run_process == starter.run_process
    assert STARTER.run_process is run_process


async def start_otherwise() -> None:
    """A start that knows no `run_process`."""


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("prefect.runner._starter_engine.run_process", None, "has no run_process"),
        ("sys.platform", "darwin", "this is darwin"),
        ("prefect.runner._starter_engine.EngineCommandStarter.start", start_otherwise, "not by run_process"),
        (
            "prefect.runner._workspace_runtime.PreparedWorkspaceManifest.__pydantic_fields__",
            {"other": None},
            "PreparedWorkspaceManifest has other fields",
        ),
    ],
    ids=["no function", "another system", "another way", "another manifest"],
)
async def test_without_the_seam_all_runs_start_cold(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, reason: str
) -> None:
    with monkeypatch.context() as patch, capture_logs() as events:
        if value is None:
            patch.delattr(name)
        else:
            patch.setattr(name, value)
        async with warm_starts("vibecheck") as starter:
            assert starter is None
    assert [event["event"] for event in events] == ["all_runs_start_cold"]
    assert reason in events[0]["reason"]
    assert STARTER.run_process is run_process
