"""All checks at once: none waits for another, or takes another along."""

import asyncio
import json
from collections.abc import Sequence
from io import StringIO

from rich.console import Console

from deployments.commands.doctor.checks import Check, Finding, Mark, find, worst
from deployments.commands.doctor.show import as_json, print_findings
from flows.logs import register_secret

WELL = Finding("a", Mark.WELL, "It is well.")
WARNING = Finding("b", Mark.WARNING, "It is old.", "Renew it.")
FAILURE = Finding("c", Mark.FAILURE, "It is gone.", "Start it.")


def check(*findings: Finding) -> Check:
    async def look() -> Sequence[Finding]:
        return findings

    return Check("any", look)


async def test_checks_are_made_at_once_and_told_in_order() -> None:
    met = asyncio.Barrier(2)

    async def look() -> Sequence[Finding]:
        await met.wait()
        return [WELL]

    assert await find([Check("x", look), check(FAILURE), Check("y", look)]) == [WELL, FAILURE, WELL]


async def test_a_check_that_hangs_ends_and_says_so() -> None:
    async def hang() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    assert await find([Check("server", hang, seconds=0.01), check(WELL)]) == [
        Finding("server", Mark.FAILURE, "No answer within 0.01 s."),
        WELL,
    ]


async def test_a_check_that_breaks_says_so_without_secrets() -> None:
    register_secret("hunter2-and-more")

    async def crash() -> Sequence[Finding]:
        raise RuntimeError("cannot use hunter2-and-more\nand so on")

    assert await find([Check("receivers", crash), check(WELL)]) == [
        Finding("receivers", Mark.FAILURE, "This check broke: RuntimeError: cannot use [redacted]"),
        WELL,
    ]


async def test_no_finding_shows_a_known_secret() -> None:
    register_secret("hunter2-and-more")
    (found,) = await find([check(Finding("a", Mark.WARNING, "It is at hunter2-and-more."))])
    assert found.text == "It is at [redacted]."


def test_the_worst_mark_counts() -> None:
    assert worst([]) is worst([WELL]) is Mark.WELL
    assert worst([WELL, WARNING]) is Mark.WARNING
    assert worst([FAILURE, WARNING, WELL]) is Mark.FAILURE


def test_each_finding_is_a_line_with_what_to_do_below() -> None:
    printed = StringIO()
    print_findings(Console(width=60, file=printed), [WELL, WARNING, FAILURE])
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    assert lines == [
        "✓ a It is well.",
        "! b It is old.",
        "    → Renew it.",
        "✗ c It is gone.",
        "    → Start it.",
        "1 failure, 1 warning.",
    ]


def test_the_json_says_the_same() -> None:
    document = json.loads(as_json([WELL, WARNING]))
    assert document["result"] == "warning"
    assert document["findings"] == [
        {"subject": "a", "mark": "well", "text": "It is well.", "to_do": None},
        {"subject": "b", "mark": "warning", "text": "It is old.", "to_do": "Renew it."},
    ]
