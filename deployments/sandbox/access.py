"""Who may ask: API keys, and tokens for client credentials."""

import base64
import binascii
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qs, unquote

from starlette.requests import Request

from deployments.sandbox.errors import ApiError

KEY_PREFIX = "ank_"


class TokenRefused(Exception):
    """The token endpoint's refusal, with OAuth2's own word for the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Access:
    """Checks credentials. Without `api_keys`, any key that begins with `ank_` will do; without `clients`, any pair."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        api_keys: Collection[str] | None,
        clients: Mapping[str, str] | None,
        token_lifetime_seconds: int,
    ) -> None:
        self._clock = clock
        self._api_keys = api_keys
        self._clients = clients
        self._lifetime_seconds = token_lifetime_seconds
        self._tokens: dict[str, datetime] = {}

    def require(self, request: Request) -> None:
        """Raise `ApiError` 401 unless the request carries a valid key or a token that has not expired."""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not (self._is_key(credential) or self._is_token(credential)):
            raise ApiError(401)

    def issue(self, authorization: str, form: str) -> dict[str, object]:
        """Issue a token for HTTP Basic `authorization` and a form body, as JSON to answer. Raises `TokenRefused`."""
        fields = {name: values[0] for name, values in parse_qs(form).items()}
        if fields.get("grant_type") != "client_credentials":
            raise TokenRefused(400, "unsupported_grant_type")
        if not self._is_client(authorization):
            raise TokenRefused(401, "invalid_client")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self._clock() + timedelta(seconds=self._lifetime_seconds)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self._lifetime_seconds,
            "scope": fields.get("scope", ""),
        }

    def _is_key(self, credential: str) -> bool:
        if self._api_keys is not None:
            return credential in self._api_keys
        return credential.startswith(KEY_PREFIX) and len(credential) > len(KEY_PREFIX)

    def _is_token(self, credential: str) -> bool:
        expires_at = self._tokens.get(credential)
        return expires_at is not None and self._clock() < expires_at

    def _is_client(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            identifier, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        # OAuth2 wants both parts percent-encoded; clients differ in whether they do it.
        identifier, secret = unquote(identifier), unquote(secret)
        if self._clients is None:
            return bool(identifier and secret)
        return self._clients.get(identifier) == secret


def credential_kind(authorization: str) -> str:
    """Name the sort of credential of a request, without the credential: `api_key`, `token`, `basic` or `none`."""
    scheme, _, credential = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return "api_key" if credential.startswith(KEY_PREFIX) else "token"
        case "basic":
            return "basic"
        case _:
            return "none"
