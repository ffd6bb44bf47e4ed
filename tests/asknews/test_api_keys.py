"""An API key: sent as it is, refused where it cannot be sent, and not tried twice."""

import httpx
import pytest
from pydantic import SecretStr

from flows.asknews import (
    ApiKey,
    CredentialsRefused,
    MissingCredentials,
)
from tests.asknews.fakes import (
    SENTINEL_KEY,
    ask,
    client_of,
    failure_of,
    news,
)


async def test_an_api_key_is_sent_as_a_bearer_token() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json=news())

    async with client_of(answer, authentication=ApiKey(SecretStr(f" {SENTINEL_KEY}\n"))) as asknews:
        await ask(asknews)
    assert seen == [f"Bearer {SENTINEL_KEY}"]


@pytest.mark.parametrize("key", ["", "  ", "ank_two words", "ank_line\nbreak", "ank_\u2026", "ank_\0"])
def test_a_key_that_no_header_can_hold_names_its_variable(key: str) -> None:
    with pytest.raises(MissingCredentials, match="ASKNEWS_API_KEY") as caught:
        ApiKey(SecretStr(key))
    assert "ank_" not in str(caught.value)


async def test_a_refused_api_key_is_not_sent_twice() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(401, json={"code": 401000, "detail": f"unknown key {SENTINEL_KEY}"})

    assert isinstance(await failure_of(client_of(answer), is_echoed=True), CredentialsRefused)
    assert len(requests) == 1
