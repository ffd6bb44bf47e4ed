"""What the documents say about the settings is what the code does."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.__main__ import run
from deployments.failures import CommandFailed
from flows.settings import PROJECT_ROOT, Settings, load_settings
from tests.support import settings_document

REMAKE = "remake it with `python -m tests.support.settings_document`"


@pytest.mark.parametrize(
    ("path", "make"),
    [
        (settings_document.DOCUMENT, settings_document.document),
        (settings_document.EXAMPLE, settings_document.example),
    ],
    ids=["settings.md", ".env.example"],
)
def test_the_file_is_what_the_settings_class_says(path: Path, make: Callable[[], str]) -> None:
    assert path.read_text() == make(), REMAKE


def test_every_setting_has_a_description_and_its_own_variable() -> None:
    variables = settings_document.settings_variables()

    assert len({variable.name for variable in variables}) == len(Settings.model_fields)
    assert [variable.name for variable in variables if not variable.effect] == []


def test_the_documented_variable_is_the_one_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings_document.settings_variables():
        if variable.allowed in ("text", "secret text"):
            monkeypatch.setenv(variable.name, "documented")

    read = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]  # pydantic-settings' own argument

    assert read.asknews_client_id == "documented"
    assert read.database_block == "documented"
    assert read.asknews_api_key is not None
    assert read.asknews_api_key.get_secret_value() == "documented"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIBECHECK_RETENTION_DAYS", "soon"),
        ("VIBECHECK_BILLING_DAY", "31"),
        ("VIBECHECK_LOG_LEVEL", "loud"),
        ("VIBECHECK_PING_URL", "https://hc.example.org:99999999/secret"),
        ("VIBECHECK_PING_URL", "hc.example.org/secret"),
        ("ASKNEWS_API_URL", "ftp://api.asknews.app"),
        ("VIBECHECK_NOT_STARTED_IS_HEALTHY", "perhaps"),
        ("VIBECHECK_DATABASE_URL", "postgres://user:hc.example.org@host/name"),
        ("VIBECHECK_NOTIFICATION_BY_OWNER", '{"data": hc.example.org'),
    ],
)
def test_a_wrong_value_stops_with_words_that_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    load_settings.cache_clear()

    with pytest.raises(CommandFailed, match=rf"(?s)not usable.*{variable}: Input should be") as stopped:
        run(["resume"])

    assert "hc.example.org" not in str(stopped.value), "the address is a secret"


def test_a_number_that_is_none_is_refused_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_FAILING_AFTER", "three")
    load_settings.cache_clear()
    with pytest.raises(CommandFailed, match=r"VIBECHECK_FAILING_AFTER: Input should be a whole number$"):
        run(["resume"])


def test_a_log_level_may_be_written_small() -> None:
    assert Settings.model_validate({"log_level": "debug"}).log_level == "DEBUG"


def test_a_wrong_value_ends_a_worker_before_it_asks_any_server() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deployments", "worker", "--pool", "vibecheck"],
        env={"VIBECHECK_RETENTION_DAYS": "soon", "PATH": "/usr/bin:/bin"},
        cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.startswith("The settings are not usable:\n  VIBECHECK_RETENTION_DAYS: Input should be")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("timezone", ["Europe/Berlinn", "../secret", ""])
def test_a_timezone_that_nobody_knows_is_refused(timezone: str) -> None:
    with pytest.raises(ValidationError, match="timezone's name, such as Europe/Berlin"):
        Settings.model_validate({"timezone": timezone})
