"""Budgets that jobs spend, such as an API's credits. The monitoring shows what a job's rows report, and knows no more.

A job reports one by the key `budget` in the details of its rows, with the fields of `Budget`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

# More is a mistake, and no ratio could be told of it.
_MOST = 10**15


class Budget(BaseModel):
    """What is used of something that is limited per period."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(description="What is spent, in the plural.", max_length=100)]
    used: Annotated[int, Field(ge=0, le=_MOST)]
    limit: Annotated[int, Field(ge=0, le=_MOST)]
    since: Annotated[date, Field(description="When the current period began.")]
    warn_from: Annotated[float, Field(description="Share of the limit from which to warn.", gt=0, le=1)] = 0.9
    spent_by: Annotated[
        date | None, Field(description="When the limit is reached at the present rate; null if not in this period.")
    ] = None

    @property
    def ratio(self) -> float:
        """The share that is used up: 1 for a limit of 0."""
        return self.used / self.limit if self.limit else 1.0

    @property
    def forecast(self) -> str:
        """When it is used up at the present rate, in a sentence; '' if not in this period."""
        if self.spent_by is None:
            return ""
        return f"At the present rate, all is spent by {self.spent_by.day} {self.spent_by:%B %Y}."

    @property
    def is_tight(self) -> bool:
        """Whether so much is used that somebody should know."""
        return self.ratio >= self.warn_from


def budget_of(details: Mapping[str, Any]) -> Budget | None:
    """Read the budget that a row's details report; None if they report none, or not in this form."""
    try:
        return Budget.model_validate(details["budget"])
    except (KeyError, ValidationError):
        return None
