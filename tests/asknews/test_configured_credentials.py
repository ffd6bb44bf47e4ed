"""Who asks is settled by the settings, which are named where they are missing or wrong."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from flows.asknews import (
    AccessDenied,
    CredentialsRefused,
    MissingCredentials,
    client_from_settings,
)
from flows.settings import Settings
from tests.asknews.fakes import BASIC, SECRET, SENTINEL_KEY, failure_of


def settings_of(**values: Any) -> Settings:
    cleared: dict[str, Any] = dict.fromkeys(("ASKNEWS_API_KEY", "ASKNEWS_CLIENT_ID", "ASKNEWS_CLIENT_SECRET"))
    return Settings(_env_file=None, **cleared | values)  # pyright: ignore[reportCallIssue]  # pydantic-settings' own argument


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "ASKNEWS_API_KEY, or ASKNEWS_CLIENT_ID and ASKNEWS_CLIENT_SECRET"),
        ({"ASKNEWS_CLIENT_ID": "id"}, "not ASKNEWS_CLIENT_SECRET"),
        ({"ASKNEWS_CLIENT_SECRET": SECRET}, "not ASKNEWS_CLIENT_ID"),
    ],
)
def test_missing_credentials_name_the_variables_to_set(values: dict[str, Any], words: str) -> None:
    with pytest.raises(MissingCredentials, match=words) as caught:
        client_from_settings(settings_of(**values))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("variable", ["ASKNEWS_API_URL", "ASKNEWS_TOKEN_URL"])
@pytest.mark.parametrize("address", ["asknews.example", "ftp://asknews.example", "https://", "https://[::1", "\0"])
def test_an_unusable_address_is_refused_with_its_variables_name(variable: str, address: str) -> None:
    with pytest.raises(ValidationError, match=rf"{variable}\n  Input should be a web address"):
        settings_of(**{variable: address})


@pytest.mark.parametrize(
    ("values", "kept_elsewhere", "scheme"),
    [
        ({"ASKNEWS_API_KEY": SENTINEL_KEY}, "other", f"Bearer {SENTINEL_KEY}"),
        ({"ASKNEWS_CLIENT_ID": "id", "ASKNEWS_CLIENT_SECRET": SECRET}, "other", "Bearer other"),
        ({"ASKNEWS_CLIENT_ID": "client", "ASKNEWS_CLIENT_SECRET": SECRET}, None, f"Basic {BASIC}"),
    ],
)
async def test_the_configured_credentials_are_used_in_order(
    values: dict[str, Any], kept_elsewhere: str | None, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def answer(_self: object, request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(403, json={}, request=request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    api_key = SecretStr(kept_elsewhere) if kept_elsewhere is not None else None
    error = await failure_of(client_from_settings(settings_of(**values), api_key=api_key))
    assert isinstance(error, AccessDenied | CredentialsRefused)
    assert seen == [scheme]
