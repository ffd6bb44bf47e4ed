"""A server that answers what Prefect would not ends a command in a sentence, and in no traceback."""

from collections.abc import Generator

import pytest
from fastapi import APIRouter, Response

from deployments.__main__ import run
from deployments.failures import CommandFailed
from flows.settings import load_settings
from tests.support.served_prefect import serving

SILENCE = ["silence", "--tag", "data", "--for", "2h", "--reason", "moving house"]


@pytest.fixture
def answer() -> list[bytes]:
    return [b"<html>Sign in</html>"]


@pytest.fixture(autouse=True)
def prefect(answer: list[bytes], sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A server, or what stands before it, that answers everything alike."""
    router = APIRouter()

    @router.api_route("/{path:path}", methods=["GET", "POST"])
    def read(path: str) -> Response:  # noqa: ARG001  # whatever is asked for
        return Response(answer[0], media_type="application/json")

    monkeypatch.setenv("VIBECHECK_DATABASE_URL", sqlite_url)
    load_settings.cache_clear()
    with serving(router):
        yield
    load_settings.cache_clear()


@pytest.mark.parametrize(
    "command",
    [["verify"], ["drain"], ["resume"], ["remove", "--yes"], SILENCE, ["apply", "--watch-only"]],
    ids=" ".join,
)
def test_a_command_says_what_is_wrong(command: list[str]) -> None:
    with pytest.raises(CommandFailed, match=r"^The Prefect server's answer to `\w+` .*: not JSON\. Is PREFECT_API"):
        run(command)


@pytest.mark.parametrize(
    "content", [b"null", b'[{"id": 5}]', b'[{"name": "a", "flow_id": "0b5a1f6e-2f3b-4a53-9f0c-5f5b1c0f8a11"}]', b"["]
)
def test_verify_cannot_tell_whatever_is_wrong(answer: list[bytes], content: bytes) -> None:
    answer[0] = content
    with pytest.raises(CommandFailed, match=r"^The Prefect server's answer to ") as failed:
        run(["verify"])
    assert failed.value.exit_code == 2
