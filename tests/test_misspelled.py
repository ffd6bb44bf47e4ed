"""A misspelled setting is found, in the environment and in `.env`, and nothing else is taken for one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.__main__ import run
from deployments.failures import CommandFailed
from flows.misspelled import Misspelled, misspelled_variables
from flows.settings import PROJECT_ROOT, load_settings


@pytest.fixture(autouse=True)
def _environment_is_read_again() -> None:
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("VIBECHECK_LOGLEVEL", "VIBECHECK_LOG_LEVEL"),
        ("vibecheck_retention_day", "VIBECHECK_RETENTION_DAYS"),
        ("ASKNEWS_APIKEY", "ASKNEWS_API_KEY"),
        ("VIBECHECK_ASKNEWS_API_KEY", "ASKNEWS_API_KEY"),
        ("VIBECHECK_NOTIFICATION_BY_OWNER_DATA", "VIBECHECK_NOTIFICATION_BY_OWNER"),
        ("VIBECHECK_XYZ", None),
    ],
)
def test_a_misspelled_name_is_found_with_what_it_means(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str | None
) -> None:
    monkeypatch.setenv(variable, "value")
    assert misspelled_variables() == [Misspelled(variable, "the environment", meant)]


def test_a_misspelled_name_in_the_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VIBECHECK_FAILING=3\nVIBECHECK_EMPTY=\nFOREIGN=1\n")
    monkeypatch.setattr("flows.misspelled.ENV_FILE", tmp_path / ".env")
    (wrong,) = misspelled_variables()
    assert wrong == Misspelled("VIBECHECK_FAILING", str(tmp_path / ".env"), "VIBECHECK_FAILING_AFTER")


def test_every_name_of_the_example_file_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    names = re.findall(r"^#?([A-Z_]+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE)
    assert "VIBECHECK_IMAGE" in names
    for name in [*names, "VIBECHECK_NOTIFICATION_BY_OWNER__DATA", "vibecheck_log_format"]:
        monkeypatch.setenv(name, "value")
    assert misspelled_variables() == []


def test_a_command_stops_at_a_misspelled_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_LOGLEVEL", "DEBUG")
    said = r"VIBECHECK_LOGLEVEL, in the environment: There is .*mean VIBECHECK_LOG_LEVEL\?"
    with pytest.raises(CommandFailed, match=said) as stopped:
        run(["status"])
    assert stopped.value.exit_code == 2, "1 would say that a job is not healthy"


def test_a_misspelled_setting_is_told_beside_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_LOGLEVEL", "DEBUG")
    monkeypatch.setenv("VIBECHECK_BILLING_DAY", "31")
    with pytest.raises(CommandFailed, match=r"(?s)VIBECHECK_BILLING_DAY: .*VIBECHECK_LOGLEVEL, in the environment"):
        run(["status"])


def test_a_run_goes_on_and_warns_of_a_misspelled_setting() -> None:
    # A process of its own: what other tests did to this one's logging must not decide.
    code = (
        "from flows.logs import *; from flows.settings import Settings; configure_logging(Settings(), to_prefect=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ASKNEWS_APIKEY": "secret"},
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert '"variable": "ASKNEWS_APIKEY", "did_you_mean": "ASKNEWS_API_KEY"' in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("present", "absent"),
    [("ASKNEWS_CLIENT_ID", "ASKNEWS_CLIENT_SECRET"), ("ASKNEWS_CLIENT_SECRET", "ASKNEWS_CLIENT_ID")],
)
def test_a_command_stops_at_half_a_login(monkeypatch: pytest.MonkeyPatch, present: str, absent: str) -> None:
    monkeypatch.setenv(present, "half")
    with pytest.raises(CommandFailed, match=f"{present} is set, but not {absent}: set it too"):
        run(["status"])


def test_half_a_login_beside_a_key_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKNEWS_CLIENT_ID", "half")
    monkeypatch.setenv("ASKNEWS_API_KEY", "key")
    monkeypatch.setenv("VIBECHECK_DATABASE_URL", "sqlite+aiosqlite://")
    assert run(["status"]) == 2
