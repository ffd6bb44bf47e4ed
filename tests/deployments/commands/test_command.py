"""The `vibecheck` command line: what it refuses before it does anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.__main__ import main, run
from deployments.failures import CommandFailed
from flows.settings import PROJECT_ROOT, load_settings


@pytest.mark.parametrize("arguments", [["apply"], ["drain"], ["resume"], ["worker", "--pool", "vibecheck"]])
def test_a_command_that_acts_on_a_server_wants_to_be_told_which(arguments: list[str]) -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(CommandFailed, match=r"^PREFECT_API_URL is not set"),
    ):
        run(arguments)


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        (["up", "--port", "99999"], "<= 65535"),
        (["up", "--port", "0"], ">= 1"),
        (["health", "--port", "99999"], "<= 65535"),
        (["health", "--port", "-1"], ">= 0"),
        (["sandbox", "--port", "99999"], "<= 65535"),
        (["worker", "--pool", "vibecheck", "--limit", "0"], ">= 1"),
        (["drain", "--timeout=-1s"], "A duration must"),
        (["drain", "--timeout", "30"], "“30” is not a duration, such as 90s"),
        (["verify", "--since", "yesterday"], "“yesterday” is not a duration, such as"),
        (["silence", "x", "--for", "banana"], "“banana” is not a duration"),
        (["verify", "--grace=-1h"], "A duration must"),
        (["verify", "--grace", "99999999999999d"], "is not a duration"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_its_bound(
    arguments: list[str], bound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert bound in " ".join((output.out + output.err).split())


def test_help_needs_no_usable_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VIBECHECK_LOG_LEVEL", "loud")
    load_settings.cache_clear()
    assert run(["verify", "--help"]) == 0
    assert "--since" in capsys.readouterr().out


def test_its_help_names_no_source_of_news(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "asknews" not in capsys.readouterr().out.lower()


def test_a_reader_that_has_enough_ends_no_command_in_a_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "deployments", "status", "--json"],
        env={"VIBECHECK_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'new.db'}", "PATH": "/usr/bin:/bin"},
        cwd=PROJECT_ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens:UserWarning")
def test_up_and_apply_point_to_the_doctor_when_they_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        for command, points in (("apply", True), ("drain", False)):
            monkeypatch.setattr("sys.argv", ["vibecheck", command])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 1
            assert ("`vibecheck doctor`" in capsys.readouterr().err) is points
