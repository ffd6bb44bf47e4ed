"""The `doctor` command: all checks at once, what they found, and an exit code for scripts."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from deployments.commands.doctor.asknews import asknews_checks
from deployments.commands.doctor.checks import Check, Finding, Mark, find, worst
from deployments.commands.doctor.clocks import clock_checks
from deployments.commands.doctor.database import database_checks
from deployments.commands.doctor.machine import machine_checks
from deployments.commands.doctor.prefect_server import prefect_checks
from deployments.commands.doctor.receivers import receiver_checks
from deployments.commands.doctor.show import as_json, print_findings
from deployments.failures import CommandFailed
from flows.logs import configure_logging
from flows.settings import Settings

EXIT_CODES = {Mark.WELL: 0, Mark.WARNING: 1, Mark.FAILURE: 2}


async def run_doctor(
    *,
    in_json: Annotated[bool, Parameter(name="--json", help="Print what was found as JSON.")] = False,
    send: Annotated[bool, Parameter(help="Send every receiver a test alarm and its recovery.")] = False,
    spend: Annotated[
        bool, Parameter(help="Search the news once, for one credit: the longest page, odd fields.")
    ] = False,
    settings_or_failure: Annotated[Settings | CommandFailed, Parameter(parse=False)],
) -> int:
    """Say what is wrong with this installation, and what to do. Exit code 0: all well; 1: warnings; 2: failures."""
    if isinstance(settings_or_failure, CommandFailed):
        # Nothing else can be looked at.
        findings = [Finding("settings", Mark.FAILURE, str(settings_or_failure))]
    else:
        # What is found is said here, and not by those who are asked.
        configure_logging(settings_or_failure.model_copy(update={"log_level": "CRITICAL"}), to_prefect=False)
        findings = await find(all_checks(settings_or_failure, send=send, spend=spend))
    if in_json:
        print(as_json(findings), flush=True)  # noqa: T201  # the command's result
    else:
        print_findings(Console(highlight=False), findings)
    return EXIT_CODES[worst(findings)]


def all_checks(settings: Settings, *, send: bool, spend: bool) -> Sequence[Check]:
    """Return every check, in the order in which it is told."""
    return [
        *machine_checks(settings),
        *database_checks(settings),
        *prefect_checks(settings),
        *clock_checks(settings),
        *receiver_checks(settings, send=send),
        *asknews_checks(settings, spend=spend),
    ]
