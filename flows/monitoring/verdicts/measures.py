"""What jobs measure of the world outside. The monitoring shows what a job's rows report, and knows no more.

A job reports them by the key `measures` in the details of its rows: a list, with the fields of `Measure`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class Measure(BaseModel):
    """Something that a job has measured, for people to read."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(description="What was measured.", max_length=100)]
    text: Annotated[str, Field(description="What came out.", max_length=500)]
    warning: Annotated[
        str | None,
        Field(description="Why it deserves a look, in a sentence; null if it does not.", max_length=500),
    ] = None


_MEASURES = TypeAdapter(list[Measure])


def measures_of(details: Mapping[str, Any]) -> list[Measure]:
    """Return the measures that a row's details report; none if they report none, or not in this form."""
    try:
        return _MEASURES.validate_python(details.get("measures", []))
    except ValidationError:
        return []
