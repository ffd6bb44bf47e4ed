"""Parameters that several commands have."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter, validators

from flows.settings import Settings


def _check_direction(_type: object, value: Any) -> None:
    if isinstance(value, timedelta) and value < timedelta():
        raise ValueError("A duration must not be negative.")


def _as_typed(value: Any) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    hours = value / timedelta(hours=1)
    return f"{hours:g}h" if hours.is_integer() else f"{hours * 60:g}m"


GivenSettings = Annotated[Settings, Parameter(parse=False)]
"""The settings, which no argument names: the command line hands them over, joined to a running `up`."""

Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65_535))]
PortOrAny = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))]

_GIVEN_AS_DURATION = Parameter(validator=_check_direction, show_default=_as_typed)
Duration = Annotated[timedelta, _GIVEN_AS_DURATION]
Moment = Annotated[timedelta | datetime, _GIVEN_AS_DURATION]
"""A duration before now, or a time."""
