"""What a deployment's tags say is expected of it, in the words of Prefect Cloud's SLAs. Pure.

Tags travel with `prefect deploy` from any repository, show in Prefect's UI, and need no code. They are the only place:
what stood in a decorator would be known only where the code runs, and not before its first run.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")
_LONGEST_SECONDS = 10 * 366 * 86_400
SEVERITIES = ("low", "high")
_LONGEST_OWNER = 100


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What the tags say; None for what they leave out."""

    within: float | None = None
    """Seconds after each tick by which a run must have started."""
    stale_after: float | None = None
    """Seconds without a success after which the job is unhealthy."""
    duration: float | None = None
    """Seconds that a run may take."""
    failing_after: int | None = None
    """Failed runs in a row that make the job unhealthy."""
    owner: str | None = None
    severity: str | None = None
    wrong: tuple[str, ...] = ()
    """The tags that cannot be read, with the reason. They count as left out."""

    def as_json(self) -> dict[str, Any]:
        """Return what the tags say, without what they leave out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


NO_TAGS = Expectations()


def parse_tags(tags: Iterable[str]) -> Expectations:
    """Read `within=30m`, `stale_after=2h`, `duration=20m`, `failing_after=2`, `owner=data`, `severity=low`.

    A length of time is whole numbers with the units s, m, h, d and w, such as `90s` or `1h30m`. Other tags are somebody
    else's. Never raises: a tag that is wrong, or that another one contradicts, is named in `wrong` and does not count.
    """
    given: dict[str, list[str]] = {}
    for tag in sorted(set(tags)):
        name, is_ours, value = tag.partition("=")
        if is_ours and name.strip() in _READERS:
            given.setdefault(name.strip(), []).append(value.strip())
    read: dict[str, Any] = {}
    wrong: list[str] = []
    for name, values in given.items():
        if len(values) > 1:
            wrong.append(f"{name} is given {len(values)} times: {', '.join(values)}")
            continue
        try:
            read[name] = _READERS[name](values[0])
        except ValueError as error:
            wrong.append(f"{name}={values[0]}: {error}")
    return Expectations(**read, wrong=tuple(wrong))


def expectation_tags(
    *,
    within: timedelta | None = None,
    stale_after: timedelta | None = None,
    duration: timedelta | None = None,
    failing_after: int | None = None,
    owner: str | None = None,
    severity: Literal["low", "high"] | None = None,
) -> list[str]:
    """Return the tags that say so, for `flow.deploy(tags=…)`, `flow.serve(tags=…)` and `flow.to_deployment(tags=…)`.

    Raises ValueError, which names the tag, for what no tag can say, such as a part of a second.
    """
    given = {"within": within, "stale_after": stale_after, "duration": duration}
    words = {name: _length(value) for name, value in given.items() if value is not None}
    others = {"failing_after": failing_after, "owner": owner, "severity": severity}
    words |= {name: str(value) for name, value in others.items() if value is not None}
    tags = [f"{name}={word}" for name, word in words.items()]
    if wrong := parse_tags(tags).wrong:
        raise ValueError("; ".join(wrong))
    return tags


def _length(value: timedelta) -> str:
    """`1h30m`; a value that is not whole seconds is left for the reader to refuse."""
    seconds = value.total_seconds()
    if seconds <= 0 or not seconds.is_integer():
        return f"{seconds:g}s"
    rest, text = int(seconds), ""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text


def from_json(stored: Mapping[str, Any] | None) -> Expectations:
    """Read what `as_json` has made."""
    values: dict[str, Any] = dict(stored or {})
    wrong: list[str] = values.pop("wrong", [])
    return Expectations(**values, wrong=tuple(wrong))


def _seconds(value: str) -> float:
    if not _DURATION.fullmatch(value):
        raise ValueError("not a length of time, such as 90s, 30m, 2h or 1d")
    seconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError("must be longer than 0 and at most ten years")
    return float(seconds)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:5]) <= 1_000:
        raise ValueError("not a number from 1 to 1000")
    return int(value)


def _owner(value: str) -> str:
    if not value or len(value) > _LONGEST_OWNER:
        raise ValueError(f"must have 1 to {_LONGEST_OWNER} characters")
    return value


def _severity(value: str) -> str:
    if value not in SEVERITIES:
        raise ValueError(f"must be one of {', '.join(SEVERITIES)}")
    return value


_READERS: dict[str, Callable[[str], object]] = {
    "within": _seconds,
    "stale_after": _seconds,
    "duration": _seconds,
    "failing_after": _count,
    "owner": _owner,
    "severity": _severity,
}
