"""The question of `vibecheck remove`."""

import io

import pytest
from rich.console import Console

from deployments.commands.remove import agreed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "is_agreed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_removes_anything(monkeypatch: pytest.MonkeyPatch, typed: str, is_agreed: bool) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    output = io.StringIO()
    assert agreed(Console(file=output)) == is_agreed
    assert output.getvalue() == "Remove all this? [y/N] "
