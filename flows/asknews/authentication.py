"""The two ways to prove who is asking: an API key, or OAuth2 client credentials exchanged for a token."""

import asyncio
import base64
import re
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from flows.asknews.endpoints import Endpoint, token_endpoint
from flows.asknews.errors import (
    AccessDenied,
    CredentialsRefused,
    InvalidRequest,
    MissingCredentials,
    UnexpectedResponse,
)
from flows.asknews.responses import json_of

SCOPE = "news stories offline openid"
# Seconds, or the share of a short life, by which a token is renewed before it expires.
RENEWAL_MARGIN = 60.0
RENEWAL_MARGIN_SHARE = 0.2
UNAUTHORIZED = 401
REDACTED = "[redacted]"

# What can stand in a header; anything else would be quoted in an error by the HTTP library.
_SENDABLE = re.compile(r"[\x21-\x7e]+")


class Authentication(httpx.Auth):
    """Puts the `Authorization` header on a request, and keeps its secrets out of text."""

    # What the user has to check when the credentials are refused.
    variables: str
    # Whom it asks for a token, None if it has no need of one.
    token_endpoint: Endpoint | None = None

    @staticmethod
    def is_ready(request: httpx.Request) -> bool:
        """Return whether `request` has its header: without it, it waits for a token and has not been sent."""
        return "Authorization" in request.headers

    @abstractmethod
    def redact(self, text: str) -> str:
        """Return `text` with every secret that this object knows replaced."""


class ApiKey(Authentication):
    """An AskNews API key, sent as a bearer token. Raises MissingCredentials for one that no header can hold."""

    variables = "ASKNEWS_API_KEY"

    def __init__(self, key: SecretStr) -> None:
        self._key = SecretStr(_sendable(key.get_secret_value(), self.variables))

    def redact(self, text: str) -> str:
        return text.replace(self._key.get_secret_value(), REDACTED)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float


class ClientCredentials(Authentication):
    """OAuth2 client credentials. The token is fetched when first needed, and again shortly before it expires.

    Concurrent requests share one token request. After a 401 the token is renewed and the request repeated once; a
    second 401 stands. Raises, while a request is sent, CredentialsRefused if the token endpoint refuses the client, and
    the other errors of the tree for what else can go wrong there. `clock` gives monotonic seconds.
    """

    variables = "ASKNEWS_CLIENT_ID and ASKNEWS_CLIENT_SECRET"

    def __init__(
        self,
        client_id: str,
        client_secret: SecretStr,
        *,
        token_url: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        secret = _sendable(client_secret.get_secret_value(), self.variables)
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote(_sendable(client_id, self.variables), safe='')}:{quote(secret, safe='')}"
        self._basic = SecretStr(base64.b64encode(pair.encode()).decode())
        self._secret = SecretStr(secret)
        self._token_url = httpx.URL(token_url)
        self._endpoint = token_endpoint(token_url)
        self.token_endpoint = self._endpoint
        self._clock = clock
        self._token: _Token | None = None
        self._renewal = asyncio.Lock()

    def redact(self, text: str) -> str:
        token = [self._token.value] if self._token is not None else []
        for secret in [self._secret.get_secret_value(), self._basic.get_secret_value(), *token]:
            text = text.replace(secret, REDACTED)
        return text

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        used: _Token | None = None
        for _attempt in range(2):
            # After a 401, it waits for a token once more.
            request.headers.pop("Authorization", None)
            async with self._renewal:
                # A token other than the refused one means that somebody renewed it while this request waited.
                if self._token is None or self._token is used or self._clock() >= self._token.renew_at:
                    asked_at = self._clock()
                    response = yield self._token_request(request)
                    await response.aread()
                    self._token = self._read_token(response, asked_at)
                used = self._token
            request.headers["Authorization"] = f"Bearer {used.value}"
            response = yield request
            if response.status_code != UNAUTHORIZED:
                return

    def _token_request(self, request: httpx.Request) -> httpx.Request:
        return httpx.Request(
            "POST",
            self._token_url,
            headers={"Authorization": f"Basic {self._basic.get_secret_value()}", "Accept": "application/json"},
            data={"grant_type": "client_credentials", "scope": SCOPE},
            # A bare request has no timeouts at all.
            extensions={"timeout": request.extensions["timeout"]},
        )

    def _read_token(self, response: httpx.Response, asked_at: float) -> _Token:
        try:
            body = json_of(response, self.redact, self._endpoint, credentials=self.variables)
        except (InvalidRequest, AccessDenied) as error:
            # RFC 6749, 5.2: an unknown client is a 400. A 403 here is about the client too, not about the plan.
            if error.status not in {400, 403}:
                raise
            raise CredentialsRefused(f"{error}: check {self.variables}", status=error.status) from None
        fields = cast(dict[str, Any], body) if isinstance(body, dict) else {}
        value, expires_in = fields.get("access_token"), fields.get("expires_in")
        if not isinstance(value, str) or not _SENDABLE.fullmatch(value):
            raise UnexpectedResponse(
                f"the answer of {self._endpoint.name} holds no usable token: {self._endpoint.check}",
                status=response.status_code,
            )
        if isinstance(expires_in, bool) or not isinstance(expires_in, int | float) or expires_in <= 0:
            # Unknown: use it until a 401 says otherwise.
            return _Token(value, renew_at=float("inf"))
        return _Token(value, renew_at=asked_at + expires_in - min(RENEWAL_MARGIN, expires_in * RENEWAL_MARGIN_SHARE))


def _sendable(secret: str, variables: str) -> str:
    stripped = secret.strip()
    if not _SENDABLE.fullmatch(stripped):
        raise MissingCredentials(f"{variables}: empty, or with characters that cannot be sent; copy it again")
    return stripped
