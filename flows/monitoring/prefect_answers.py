"""Answers of the Prefect server that are not its API's: one error for all of them, and none is taken for the truth.

A proxy answers with a page of its own, a server of another release with other fields. Prefect's client then raises
whatever it stumbles over, and makes up what is missing, be it the id of a run.
"""

import json
from collections.abc import Generator
from contextlib import contextmanager
from traceback import walk_tb

import httpx
from prefect.exceptions import PrefectException
from pydantic import BaseModel, ValidationError

from flows.database.types import clean_text

LONGEST_PROBLEM = 300
# Read on, it would have no end.
REPEATS = "a page repeats, whatever the offset"
_CLIENT = "prefect.client."
# InvalidURL: what was read becomes part of the next address.
_STUMBLES = (ValueError, TypeError, LookupError, AttributeError, RecursionError, httpx.InvalidURL)


class UnexpectedAnswer(PrefectException):
    """The Prefect server's answer cannot be read or believed. The text says what was asked, what is wrong with the
    answer, and what to do.
    """

    def __init__(self, asked: str, problem: str) -> None:
        super().__init__(
            f"The Prefect server's answer to `{asked}` is not as Prefect's API has it: "
            f"{clean_text(problem)[:LONGEST_PROBLEM]}. Is PREFECT_API_URL the server itself, or does something in "
            "between answer? Does the server's version fit? `vibecheck doctor` names it."
        )


@contextmanager
def reading_answers() -> Generator[None]:
    """Raise UnexpectedAnswer where Prefect's client stumbles over an answer; all else stays what it is."""
    try:
        yield
    except Exception as error:
        if (unexpected := unexpected_answer(error)) is None:
            raise
        # Not from it: what pydantic tells quotes the answer, in which may be passwords.
        raise unexpected from None


def unexpected_answer(error: Exception) -> UnexpectedAnswer | None:
    """Return what to raise for `error` where Prefect's client has stumbled over an answer; None for any other error."""
    if not isinstance(error, _STUMBLES) or isinstance(error, PrefectException):
        return None
    places = ((frame.f_globals.get("__name__", ""), frame.f_code.co_name) for frame, _ in walk_tb(error.__traceback__))
    asked = next((function for module, function in places if module.startswith(_CLIENT)), None)
    return None if asked is None else UnexpectedAnswer(asked, _problem(error))


def require(given: BaseModel, *fields: str) -> None:
    """Raise UnexpectedAnswer unless the server has said all of `fields`: the client makes up those that are missing."""
    if missing := [field for field in fields if field not in given.model_fields_set]:
        raise UnexpectedAnswer(type(given).__name__, f"{', '.join(missing)} missing")


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first, *others = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        more = f", and {len(others)} more" if others else ""
        return f"{error.title}: {where + ': ' if where else ''}{first['msg']}{more}"
    return "not JSON" if isinstance(error, json.JSONDecodeError) else type(error).__name__
