"""Parameters that several commands have."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter, Token, convert, validators
from cyclopts.exceptions import CoercionError

from deployments.failures import CommandFailed
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


def _wanting(what: str) -> Callable[[Any, Sequence[Token]], Any]:
    """Cyclopts' own conversion, which says what it wants in words for people."""

    def read(kind: Any, tokens: Sequence[Token]) -> Any:
        try:
            return convert(kind, tokens)  # pyright: ignore[reportUnknownVariableType]  # whatever `kind` is
        except CoercionError:
            raise ValueError(f"“{tokens[0].value}” is not {what}.") from None

    return read


_DURATION = "a duration, such as 90s, 15m, 2h or 3d"
_SHOWN = Parameter(validator=_check_direction, show_default=_as_typed)
Duration = Annotated[timedelta, _SHOWN, Parameter(converter=_wanting(_DURATION), metavar="DURATION")]
Moment = Annotated[
    timedelta | datetime,
    _SHOWN,
    Parameter(converter=_wanting(f"{_DURATION}, or a time, such as 2026-11-23T14:00"), metavar="DURATION|TIME"),
]
"""A duration before now, or a time."""


def moment(given: timedelta | datetime, now: datetime) -> datetime:
    """Return the time in UTC that is meant: a duration before `now`, or a time.

    A time without a timezone is one in that of `now`. Raises CommandFailed if no calendar has it.
    """
    try:
        if isinstance(given, timedelta):
            return now.astimezone(UTC) - given
        return (given.replace(tzinfo=now.tzinfo) if given.tzinfo is None else given).astimezone(UTC)
    except OverflowError:
        raise CommandFailed(f"{given} is further away than the calendar goes.") from None
