"""The `vibecheck` command line: what it refuses before it does anything."""

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.__main__ import app


@pytest.mark.parametrize("arguments", [["apply"], ["drain"], ["resume"], ["worker", "--pool", "vibecheck"]])
def test_a_command_that_acts_on_a_server_wants_to_be_told_which(arguments: list[str]) -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(SystemExit, match=r"^PREFECT_API_URL is not set"),
    ):
        app(arguments)


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        (["up", "--port", "99999"], "65535"),
        (["up", "--port", "0"], "1"),
        (["health", "--port", "99999"], "65535"),
        (["health", "--port", "-1"], "0"),
        (["sandbox", "--port", "99999"], "65535"),
        (["worker", "--pool", "vibecheck", "--limit", "0"], "1"),
        (["drain", "--timeout", "-1"], "0"),
        (["verify", "--grace", "-1"], "0"),
        (["verify", "--grace", "1e300"], "31536000"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_its_bound(
    arguments: list[str], bound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert f"= {bound}" in " ".join((output.out + output.err).split())
