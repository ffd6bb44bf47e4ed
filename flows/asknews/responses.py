"""From an HTTP response to JSON or an error of the tree: the cap on size, `Retry-After`, error bodies, HTML."""

import json
import re
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from flows.asknews.endpoints import Endpoint, shown
from flows.asknews.errors import (
    AccessDenied,
    AskNewsError,
    CredentialsRefused,
    GatewayAnswered,
    InvalidRequest,
    Misconfigured,
    PaymentRequired,
    RateLimited,
    ResponseTooLarge,
    ServiceFailed,
    SubscriptionInactive,
)
from flows.asknews.proxies import proxy_refusal

# Bytes that one step of unpacking may produce: what a gzip bomb can cost in memory before it is noticed.
UNPACKED_STEP = 65_536
# Seconds; a longer `Retry-After` means the same: not today.
LONGEST_RETRY_AFTER = 86_400.0
LONGEST_DETAIL = 300
PLAN_HEADERS = ("x-ratelimit-limit", "x-concurrency-limit")
LONGEST_LIMIT = 50
MOST_DIGITS = 40
# Several times what the contract's largest page has; brackets in its texts count too, for speed. Of three bytes of JSON
# Python makes up to a kilobyte.
MOST_OBJECTS = 300_000
CONCURRENCY_CODE = 429001
INACTIVE_SUBSCRIPTION_CODE = 403011

_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)

# Not now, says the server: a request timeout, a conflict, "too early".
_NOT_NOW = frozenset({408, 409, 425})

Redact = Callable[[str], str]


class BoundedStream(httpx.AsyncByteStream):
    """A response's body, unpacked, that raises ResponseTooLarge as soon as it exceeds `limit` bytes packed or unpacked.

    Unpacking is done here and not by httpx, because httpx unpacks each chunk whole: 64 kB can become 64 MB.
    Raises GatewayAnswered for a packing that was not asked for, and for a damaged or incomplete one.
    """

    def __init__(self, stream: httpx.AsyncByteStream, *, encoding: str, limit: int, status: int) -> None:
        self._stream = stream
        self._encoding = encoding
        self._limit = limit
        self._status = status

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise GatewayAnswered("the response is packed in a way that was not asked for", status=self._status)
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in self._encoding else None
        received = unpacked = 0
        async for chunk in self._stream:
            received += len(chunk)
            self._check(received)
            if unpacker is None:
                yield chunk
                continue
            rest = chunk
            while rest and not unpacker.eof:
                try:
                    piece = unpacker.decompress(rest, UNPACKED_STEP)
                except zlib.error:
                    raise GatewayAnswered("the response's gzip data is damaged", status=self._status) from None
                unpacked += len(piece)
                self._check(unpacked)
                yield piece
                rest = unpacker.unconsumed_tail
        if unpacker is not None and received and not unpacker.eof:
            raise GatewayAnswered("the response's gzip data is incomplete", status=self._status)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ResponseTooLarge(
                f"the response is larger than {self._limit} bytes; raise VIBECHECK_MAX_RESPONSE_BYTES, or ask for less",
                status=self._status,
            )


def json_of(response: httpx.Response, redact: Redact, endpoint: Endpoint, *, credentials: str) -> Any:
    """Return the JSON of a successful response. Raises the tree's error for any other response; its body must be read.

    `redact` takes secrets out of text that came from outside; `endpoint` is who was asked; `credentials` says what to
    check when they are refused.
    """
    status = response.status_code
    is_swollen = response.content.count(b"{") + response.content.count(b"[") > MOST_OBJECTS
    is_json, body = (False, None) if is_swollen else _parse(response.content)
    if 300 <= status < 400:
        target = one_line(_redirects_to(response), redact)
        raise Misconfigured(f"{endpoint.name} redirects to {target}: {endpoint.check}", status=status)
    if not response.is_success:
        raise _error(response, body, endpoint, is_json=is_json, redact=redact, credentials=credentials)
    if is_swollen:
        raise ResponseTooLarge(
            f"the response has more than {MOST_OBJECTS} objects and lists: ask for less, or has the API changed?",
            status=status,
        )
    if not is_json:
        error = GatewayAnswered(
            f"{endpoint.name} answered with {_kind(response)} where JSON was expected; if it goes on, {endpoint.check}",
            status=status,
        )
        # JSON that breaks off may be AskNews' answer; anything else is not.
        error.is_foreign = response.content.lstrip()[:1] not in {b"{", b"["}
        raise error
    return body


def plan_of(headers: httpx.Headers) -> str:
    """Return what tells one plan from another: its limits of rate and concurrency (doc); '' if neither is named."""
    return " ".join(f"{name}={headers[name][:LONGEST_LIMIT]}" for name in PLAN_HEADERS if name in headers)


def retry_after_of(headers: httpx.Headers, now: datetime) -> float | None:
    """Return the wait that `Retry-After` asks for: 0 to `LONGEST_RETRY_AFTER` seconds, None if absent or meaningless.

    A date is taken relative to the response's own `Date`, so that a wrong clock on this side does not matter, else to
    `now` (aware).
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER)
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date(headers.get("date", "")) or now
    return min(max((until - since).total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
        # HTTP dates are in GMT, also where the parser finds no zone it knows.
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parse(content: bytes) -> tuple[bool, Any]:
    """Whether the body is JSON, and its value. Broken UTF-8 becomes U+FFFD: one bad byte must not cost the page."""
    try:
        return True, json.loads(
            content.decode("utf-8-sig", errors="replace"),
            # int() refuses very long numbers; as text, they reach the validation, which refuses the item, not the page.
            parse_int=lambda digits: int(digits) if len(digits) <= MOST_DIGITS else digits,
        )
    except (ValueError, RecursionError):
        return False, None


def _redirects_to(response: httpx.Response) -> str:
    try:
        target = httpx.URL(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return "an address that is none"
    return shown(target.copy_with(raw_path=b"/")) if target.host else "another path"


def _error(
    response: httpx.Response, body: Any, endpoint: Endpoint, *, is_json: bool, redact: Redact, credentials: str
) -> AskNewsError:
    status = response.status_code
    retry_after = retry_after_of(response.headers, datetime.now(UTC))
    code, detail = _code_and_detail(body, redact)
    told = f" ({detail})" if detail else ""
    match status:
        case 429:
            what = "at once" if code == CONCURRENCY_CODE else "in a time"
            return RateLimited(
                f"{endpoint.name} says: too many requests {what}{told}",
                status=status,
                code=code,
                retry_after=retry_after,
            )
        # A page from a firewall in between says nothing about the plan.
        case _ if (status >= 500 or status == 403) and not is_json and response.content.strip():
            return GatewayAnswered(
                f"a gateway before {endpoint.name} answered with {_kind(response)} and status {status}",
                status=status,
                retry_after=retry_after,
            )
        case _ if status >= 500 or status in _NOT_NOW:
            return ServiceFailed(
                f"{endpoint.name} failed with {status}{told}", status=status, code=code, retry_after=retry_after
            )
        case 401:
            return CredentialsRefused(
                f"{endpoint.name} refused the credentials: check {credentials}{told}", status=status, code=code
            )
        case 403 if code == INACTIVE_SUBSCRIPTION_CODE:
            return SubscriptionInactive(
                f"AskNews denied access; the subscription is inactive: renew it{told}", status=status, code=code
            )
        case 403:
            return AccessDenied(
                f"{endpoint.name} denied access; the plan does not include this: choose a plan that does, or switch "
                f"the job off{told}",
                status=status,
                code=code,
            )
        case 402:
            return PaymentRequired(
                f"AskNews asks for payment: buy credits, or wait for the next billing period{told}",
                status=status,
                code=code,
            )
        case 407:
            return Misconfigured(proxy_refusal(), status=status)
        case 404 | 405:
            return InvalidRequest(
                f"{endpoint.name} has nothing at this address ({status}){told}: {endpoint.check}",
                status=status,
                code=code,
            )
        case _:
            return InvalidRequest(f"{endpoint.name} refused the request with {status}{told}", status=status, code=code)


def _code_and_detail(body: Any, redact: Redact) -> tuple[int | None, str]:
    """AskNews' code and its explanation on one line, without the input that a validation error would quote."""
    if not isinstance(body, dict):
        return None, ""
    fields = cast(dict[str, Any], body)
    # The token endpoint explains itself as OAuth2 says, the API in its own way.
    code, detail = fields.get("code"), fields.get("detail", fields.get("error_description", fields.get("error")))
    if isinstance(detail, list):
        detail = "; ".join(_validation_problem(problem) for problem in cast(list[object], detail))
    return (
        code if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 2**31 else None,
        one_line(detail, redact) if isinstance(detail, str) else "",
    )


def _validation_problem(problem: object) -> str:
    if not isinstance(problem, dict):
        return ""
    fields = cast(dict[str, Any], problem)
    location: object = fields.get("loc")
    path = ".".join(str(part) for part in cast(list[object], location)) if isinstance(location, list) else ""
    return f"{path}: {fields.get('msg')}"


def one_line(text: str, redact: Redact) -> str:
    """Return `text` on one line of at most `LONGEST_DETAIL` characters, without secrets."""
    # Redacted before it is cut, because half a secret would not be recognised.
    return " ".join(redact(text).split())[:LONGEST_DETAIL]


def _kind(response: httpx.Response) -> str:
    return "HTML" if response.content.lstrip()[:1] == b"<" else "a body that is not JSON"
