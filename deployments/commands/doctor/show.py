"""The findings, for people and as JSON."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.commands.doctor.checks import Finding, Mark, worst

_MARKS = {Mark.WELL: ("✓", "green"), Mark.WARNING: ("!", "yellow"), Mark.FAILURE: ("✗", "red")}


def as_table(findings: Sequence[Finding]) -> Table:
    """Put each finding on a line, and below it what to do."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = _MARKS[finding.mark]
        table.add_row(Text(mark, style=colour), Text(finding.subject), Text(finding.text))
        if finding.to_do:
            table.add_row("", "", Text(f"→ {finding.to_do}", style="bold"))
    return table


def as_json(findings: Sequence[Finding]) -> str:
    """Return the worst mark, and each finding with its own."""
    document = {
        "result": worst(findings).value,
        "findings": [
            {"subject": each.subject, "mark": each.mark.value, "text": each.text, "to_do": each.to_do or None}
            for each in findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def summary(findings: Sequence[Finding]) -> str:
    """Say how many there are of what is not well."""
    counts = {mark: sum(finding.mark is mark for finding in findings) for mark in Mark}
    if worst(findings) is Mark.WELL:
        return "All is well."
    return (
        ", ".join(
            f"{counts[mark]} {mark.value}{'s' * (counts[mark] != 1)}"
            for mark in reversed(Mark)
            if counts[mark] and mark is not Mark.WELL
        )
        + "."
    )


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print the table and its summary."""
    console.print(as_table(findings))
    console.print(summary(findings))
