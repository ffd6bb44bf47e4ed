"""Whatever `.env` holds, a command gets its settings, or says in words what is wrong with them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.command_settings import command_settings
from deployments.failures import CommandFailed
from flows.settings import Settings, load_settings

NAMES = st.sampled_from(
    [
        "VIBECHECK_RETENTION_DAYS",
        "VIBECHECK_DATABASE_URL",
        "VIBECHECK_PING_URL",
        "VIBECHECK_NOTIFICATION_BY_OWNER",
        "VIBECHECK_NOTIFICATION_BY_OWNER__DATA",
        "VIBECHECK_TIMEZONE",
        "VIBECHECK_MISSPELLED",
        "ASKNEWS_API_KEY",
        "FOREIGN",
    ]
)
LINES = st.lists(st.tuples(NAMES, st.text(max_size=20)).map("=".join), max_size=4)


def settings_of(content: bytes) -> Settings:
    """What a command reads where `.env` has this content."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder, ".env")
        file.write_bytes(content)
        file.chmod(0o600)
        patch.setitem(Settings.model_config, "env_file", file)
        patch.setattr("flows.misspelled.ENV_FILE", file)
        patch.setattr("deployments.command_settings.ENV_FILE", file)
        patch.setenv("VIBECHECK_DATA_DIRECTORY", folder)
        load_settings.cache_clear()
        try:
            return command_settings()
        finally:
            load_settings.cache_clear()


@given(st.binary(max_size=100) | LINES.map("\n".join).map(str.encode))
def test_any_content_is_read_or_told_what_is_wrong(content: bytes) -> None:
    try:
        settings_of(content)
    except CommandFailed as failed:
        assert "The settings are not usable:" in str(failed)  # noqa: PT017  # either outcome is right


def test_a_file_that_is_not_utf8_is_told() -> None:
    with pytest.raises(CommandFailed, match=r"\.env: It is not UTF-8 from byte 2 on\. Save it as UTF-8\."):
        settings_of(b"A=\xe9\n")


def test_a_file_that_begins_with_a_bom_is_read() -> None:
    assert settings_of("VIBECHECK_RETENTION_DAYS=3\n".encode("utf-8-sig")).retention_days == 3


def test_a_nul_in_a_file_is_part_of_its_value() -> None:
    assert settings_of(b"VIBECHECK_INSTALLATION=a\0b\n").installation == "a\0b"
