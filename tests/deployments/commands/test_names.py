"""A job's name in the tables of the commands."""

import pytest
from rich.console import Console
from rich.table import Table

from deployments.commands.names import Name


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (60, ["nightly_report/production-eu"]),
        (26, ["nightly_report/", "production-eu"]),
        (14, ["nightly_re", "port/", "production", "-eu"]),
    ],
)
def test_a_name_is_whole_at_any_width(width: int, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("job")
    table.add_row(Name("nightly_report/production-eu"))
    Console(width=width).print(table)
    rows = capsys.readouterr().out.splitlines()[3:-1]
    assert [row.strip("│ ") for row in rows] == lines
