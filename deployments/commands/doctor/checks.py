"""What a check finds, and how all of them are made at once: none waits for another, or takes another along."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from flows.logs import redact
from flows.monitoring.prefect_answers import UnexpectedAnswer, reading_answers

# A server that hangs must not make the doctor hang. What is well answers in a fraction of it.
CHECK_SECONDS = 15.0
LONGEST_ERROR = 200


class Mark(StrEnum):
    """How well something is, the best first."""

    WELL = "well"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """What was found of one subject. `to_do` is empty where there is nothing to do."""

    subject: str
    mark: Mark
    text: str
    to_do: str = ""


@dataclass(frozen=True)
class Check:
    """A look at one subject, which returns what it finds within so many seconds."""

    subject: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    seconds: float = CHECK_SECONDS


async def find(checks: Sequence[Check]) -> list[Finding]:
    """Make all checks at once, and return what they found, in their order and without known secrets.

    One that breaks, or does not end in time, is a failure that says so, and ends no other.
    """
    found = await asyncio.gather(*(_look(check) for check in checks))
    return [replace(finding, text=str(redact(finding.text))) for findings in found for finding in findings]


def worst(findings: Sequence[Finding]) -> Mark:
    """Return the worst mark of the findings."""
    return max((finding.mark for finding in findings), key=list(Mark).index, default=Mark.WELL)


def sentence(text: str) -> str:
    """Return the text with a capital at its beginning and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def in_short(error: BaseException) -> str:
    """Return the error's kind and the first line of its text."""
    lines = str(redact(str(error))).strip().splitlines()  # cut afterwards: half a secret is not recognised
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "…"


async def _look(check: Check) -> Sequence[Finding]:
    try:
        with reading_answers():
            async with asyncio.timeout(check.seconds):
                return await check.look()
    except TimeoutError:
        problem = f"No answer within {check.seconds:g} s."
    except UnexpectedAnswer as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001  # a check that breaks must not take the others along
        problem = f"This check broke: {in_short(error)}"
    return [Finding(check.subject, Mark.FAILURE, problem)]
