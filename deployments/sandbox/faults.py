"""Faults that can be switched on: which requests they hit, and how often."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal[
    # Errors with their documented bodies.
    "rate_limited",
    "service_failed",
    "unauthorized",
    "forbidden",
    "invalid_request",
    "payment_required",
    "not_now",
    # Answers of something in between.
    "proxy_refuses",
    "redirect",
    # Answers that are not JSON, or not the right one.
    "gateway_html",
    "html_200",
    "malformed_json",
    "wrong_shape",
    # Trouble on the way.
    "slow",
    "drips",
    "stalled",
    "reset",
    "truncated",
    "gzip_bomb",
    # Good answers whose pages are not as one expects: the offset has no effect, few or no items although more follow,
    # another order at each request.
    "offset_ignored",
    "short_page",
    "empty_page",
    "shuffled",
    # Good answers with bad items.
    "malformed_items",
    "poison",
    "nul_bytes",
    "huge_field",
    "unknown_values",
    # Good answers with odd, missing or absurd values, of which nothing is lost but these.
    "odd_fields",
    "odd_addresses",
    "no_rolling",
    "html_entities",
    "absurd_credits",
]

STATUS_OF_KIND: dict[FaultKind, int] = {
    "rate_limited": 429,
    "service_failed": 500,
    "unauthorized": 401,
    "forbidden": 403,
    "invalid_request": 400,
    "payment_required": 402,
    "not_now": 409,
    "proxy_refuses": 407,
}


class Fault(BaseModel):
    """One fault: what goes wrong, for which requests, how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    path: str = Field(
        default="*", description="Pattern of the path, such as `/v1/news/search`, `/v1/*` or `/oauth2/token`."
    )
    times: int | Literal["forever"] = Field(default=1, description="How many of the matching requests are hit.")
    after: int = Field(default=0, ge=0, description="How many matching requests are let through first.")
    offset: int | str | None = Field(
        default=None, description="Only requests for this page: the value of their `offset`."
    )
    query: str | None = Field(
        default=None, description="Only requests whose `query` or `string_guarantee` has this value."
    )
    status: int | None = Field(default=None, description="Another HTTP status than the kind's usual one.")
    code: int | None = Field(default=None, description="Another AskNews code than the usual one, for example 429001.")
    retry_after: str | int | float | None = Field(
        default=None, description="The `Retry-After` header: seconds, a date, anything."
    )
    seconds: float = Field(default=30.0, ge=0, description="`slow`, `drips`, `stalled`: how long.")
    items: int = Field(default=3, ge=1, description="`malformed_items`: how many of the page's items are spoilt.")
    size_bytes: int = Field(default=10_000_000, ge=1, description="`huge_field`, `gzip_bomb`: the size, unpacked.")

    def concerns(self, path: str, parameters: Sequence[tuple[str, str]]) -> bool:
        """Return whether a request for `path` with these query parameters can be hit."""
        if not fnmatchcase(path, self.path):
            return False
        if self.offset is not None and str(self.offset) != dict(parameters).get("offset", "0"):
            return False
        asked = {value for name, value in parameters if name in ("query", "string_guarantee")}
        return self.query is None or self.query in asked


@dataclass
class _Counter:
    fault: Fault
    seen: int = 0
    fired: int = 0


class FaultBoard:
    """The faults that are switched on, with their counts."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._counters = [_Counter(fault) for fault in faults]

    def add(self, faults: Iterable[Fault]) -> None:
        """Switch on more faults, behind those that are on."""
        self._counters.extend(_Counter(fault) for fault in faults)

    def clear(self) -> None:
        """Switch off everything."""
        self._counters.clear()

    def describe(self) -> list[dict[str, object]]:
        """Describe the faults as JSON, each with `fired`, the number of requests it hit."""
        return [{**one.fault.model_dump(mode="json", exclude_unset=True), "fired": one.fired} for one in self._counters]

    def hit(self, path: str, parameters: Sequence[tuple[str, str]]) -> Fault | None:
        """Return the first fault that hits this request, and count it; None if there is none."""
        for counter in self._counters:
            fault = counter.fault
            if not fault.concerns(path, parameters) or (fault.times != "forever" and counter.fired >= fault.times):
                continue
            counter.seen += 1
            if counter.seen > fault.after:
                counter.fired += 1
                return fault
        return None
