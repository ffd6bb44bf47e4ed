"""What `up` leaves for its owner: the password, the environment that other commands find, and who else may read it."""

import os
import stat
from pathlib import Path

import pytest

from deployments.commands.data_directory import (
    auth_string,
    forget_environment,
    join_running_up,
    make_private_directory,
    make_sign_in,
    note_environment,
    readable_by_others,
    write_private,
)
from deployments.commands.processes import data_directory_lock
from deployments.failures import CommandFailed

SERVER = "http://127.0.0.1:4300/api"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ})
    del os.environ["PREFECT_API_URL"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_up_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    make_private_directory(directory)
    (directory / "ui" / "v1").mkdir(parents=True)
    auth_string(directory)
    note_environment(directory, {"PREFECT_API_URL": SERVER})
    page = make_sign_in(directory, directory / "ui", origin="http://127.0.0.1:4300")

    assert mode(directory) == 0o700
    assert [mode(directory / name) for name in ("auth", "environment", page.name)] == [0o600] * 3


def test_a_file_others_can_read_is_written_anew_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "environment"
    path.touch(mode=0o666)
    write_private(path, "secret")
    assert (mode(path), path.read_text()) == (0o600, "secret")


def test_the_password_is_random_and_stays(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert auth_string(tmp_path) == auth_string(tmp_path)
    assert auth_string(tmp_path) != auth_string(other)
    assert len(auth_string(tmp_path)) > 30


def test_the_page_on_the_server_holds_no_password(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    make_sign_in(tmp_path, tmp_path, origin="http://127.0.0.1:4300")
    (served,) = (tmp_path / "v1").iterdir()
    assert auth_string(tmp_path).removeprefix("admin:") not in served.read_text()


def test_what_others_can_read_is_said_with_the_remedy(tmp_path: Path) -> None:
    private, shared = tmp_path / "private", tmp_path / "shared"
    private.touch(mode=0o600)
    shared.touch()
    shared.chmod(0o640)
    assert readable_by_others([private, shared, tmp_path / "absent"]) == [
        f"Others on this machine can read {shared}: `chmod go= {shared}`."
    ]


def test_a_command_finds_the_running_up(tmp_path: Path) -> None:
    note_environment(tmp_path, {"PREFECT_API_URL": SERVER, "PREFECT_API_AUTH_STRING": "admin:it's $secret"})
    with data_directory_lock(tmp_path):
        assert join_running_up(tmp_path)
    assert os.environ["PREFECT_API_URL"] == SERVER
    assert os.environ["PREFECT_API_AUTH_STRING"] == "admin:it's $secret"


def test_an_up_that_was_killed_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    with data_directory_lock(tmp_path):
        note_environment(tmp_path, {"PREFECT_API_URL": SERVER})
    assert not join_running_up(tmp_path)
    assert "PREFECT_API_URL" not in os.environ


def test_a_server_that_is_named_wins_over_the_running_up(tmp_path: Path) -> None:
    os.environ["PREFECT_API_URL"] = "https://prefect.example.org/api"
    note_environment(tmp_path, {"PREFECT_API_URL": SERVER, "PREFECT_API_AUTH_STRING": "admin:secret"})
    with data_directory_lock(tmp_path):
        assert not join_running_up(tmp_path)
    assert "PREFECT_API_AUTH_STRING" not in os.environ


def test_what_is_set_already_stays(tmp_path: Path) -> None:
    os.environ["VIBECHECK_DATABASE_URL"] = "sqlite+aiosqlite:///mine.db"
    note_environment(tmp_path, {"PREFECT_API_URL": SERVER, "VIBECHECK_DATABASE_URL": "sqlite+aiosqlite:///other.db"})
    with data_directory_lock(tmp_path):
        assert join_running_up(tmp_path)
    assert os.environ["VIBECHECK_DATABASE_URL"] == "sqlite+aiosqlite:///mine.db"


def test_an_up_that_is_still_starting_has_nothing_to_join(tmp_path: Path) -> None:
    with data_directory_lock(tmp_path):
        assert not join_running_up(tmp_path)
        note_environment(tmp_path, {"PREFECT_API_URL": SERVER})
        forget_environment(tmp_path)
        assert not join_running_up(tmp_path)


def test_a_data_directory_that_takes_no_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = r"^Cannot write into .*file/inside \(VIBECHECK_DATA_DIRECTORY\): Not a directory"
    with pytest.raises(CommandFailed, match=said), data_directory_lock(tmp_path / "file" / "inside"):
        pass
    with pytest.raises(CommandFailed, match="It is a file, not a directory"), data_directory_lock(tmp_path / "file"):
        pass
    assert not join_running_up(tmp_path / "file")
    assert readable_by_others([tmp_path / "file" / "inside"]) == []
