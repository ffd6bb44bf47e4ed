"""Keys, tokens, limits and error bodies are as documented."""

import base64
from typing import Any

import httpx
import pytest

from tests.sandbox.asking import KEY, answer, asking
from tests.support.sandbox_server import ManualClock

SEARCH = "/v1/news/search"
LIMITS = "/v1/profiles/me/limits"
UNAUTHORIZED = {"code": 401000, "detail": "Unauthorized"}


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def fetch_token(client: httpx.AsyncClient, pair: str = "id:secret", **form: Any) -> httpx.Response:
    form = {"grant_type": "client_credentials", "scope": "news stories offline openid", **form}
    return await client.post("/oauth2/token", data=form, headers={"Authorization": basic(pair)})


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer ank_anything", 200),
        ("bearer ank_anything", 200),
        ("Bearer ank_", 401),
        ("Bearer something", 401),
        ("Basic ank_anything", 401),
        ("ank_anything", 401),
        ("", 401),
    ],
)
async def test_any_key_that_begins_with_ank_will_do(authorization: str, status: int) -> None:
    async with asking() as client:
        for path in (SEARCH, "/v1/stories", LIMITS):
            response = await client.get(path, headers={"Authorization": authorization})
            assert response.status_code == status
            assert status == 200 or response.json() == UNAUTHORIZED


async def test_configured_keys_are_the_only_ones() -> None:
    async with asking(api_keys={"ank_right"}) as client:
        assert (await client.get(LIMITS, headers={"Authorization": "Bearer ank_right"})).status_code == 200
        assert (await client.get(LIMITS, headers={"Authorization": f"Bearer {KEY}"})).status_code == 401


async def test_client_credentials_give_a_token_that_expires() -> None:
    clock = ManualClock()
    async with asking(clock=clock, token_lifetime_seconds=60) as client:
        token = (await fetch_token(client)).json()
        assert token["expires_in"] == 60
        assert token["token_type"] == "bearer"
        assert token["scope"] == "news stories offline openid"
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert (await client.get(LIMITS, headers=headers)).status_code == 200
        clock.advance(seconds=60)
        assert (await client.get(LIMITS, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("pair", "status"),
    [("me:p%40ss%3A1", 200), ("me:p@ss:1", 200), ("me:wrong", 401), ("you:p@ss:1", 401), ("me:", 401), ("", 401)],
)
async def test_only_configured_clients_enter_percent_encoded_or_not(pair: str, status: int) -> None:
    async with asking(clients={"me": "p@ss:1"}) as client:
        response = await fetch_token(client, pair)
    assert response.status_code == status
    assert status == 200 or response.json() == {"error": "invalid_client"}


async def test_another_grant_or_a_broken_header_gives_no_token() -> None:
    async with asking() as client:
        assert (await fetch_token(client, grant_type="password")).json() == {"error": "unsupported_grant_type"}
        form = {"grant_type": "client_credentials"}
        for authorization in ("Basic ???", "Bearer abc", basic("only-an-id:")):
            response = await client.post("/oauth2/token", data=form, headers={"Authorization": authorization})
            assert response.status_code == 401


async def test_unknown_paths_and_wrong_methods_have_documented_bodies() -> None:
    async with asking() as client:
        missing = await client.get("/v1/stories/search/all")
        assert (missing.status_code, missing.json()) == (404, {"code": 404000, "detail": "Resource Not Found"})
        wrong = await client.post(SEARCH)
        assert (wrong.status_code, wrong.json()["code"]) == (405, 405000)


async def test_headers_tell_the_limits_and_429_tells_the_wait() -> None:
    async with asking(requests_per_second=0.001, burst=2, concurrency=5) as client:
        first = await client.get(LIMITS)
        assert first.headers["X-RateLimit-Limit"] == "2"
        assert first.headers["X-RateLimit-Remaining"] == "1"
        assert first.headers["X-Concurrency-Limit"] == "5"
        assert first.headers["X-Concurrency-Remaining"] == "4"
        assert first.json()["request_rate_remaining"] == 1
        assert (await client.get(LIMITS)).status_code == 200
        refused = await client.get(LIMITS)
    assert refused.status_code == 429
    assert refused.json() == {"code": 429000, "detail": "Rate Limit Exceeded"}
    assert 0 < int(refused.headers["Retry-After"]) <= 1000


async def test_too_many_at_once_is_429001() -> None:
    async with asking(concurrency=0) as client:
        refused = await client.get(LIMITS)
    assert refused.status_code == 429
    assert refused.json() == {"code": 429001, "detail": "Concurrency Limit Exceeded"}


async def test_requests_are_noted_without_their_credentials() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        await fetch_token(client, "id:very-secret")
        await client.get(SEARCH, params={"string_guarantee": ["Claude", "v0"], "offset": 10})
        await client.get(SEARCH, headers={"Authorization": "Bearer nonsense-key"})
        noted = await client.get("/_sandbox/requests")
        assert await client.delete("/_sandbox/requests")
        assert await answer(client, "/_sandbox/requests") == []
    assert [(one["method"], one["path"], one["credential"], one["status"]) for one in noted.json()] == [
        ("POST", "/oauth2/token", "basic", 200),
        ("GET", SEARCH, "api_key", 200),
        ("GET", SEARCH, "token", 401),
    ]
    assert noted.json()[1]["query"] == {"string_guarantee": ["Claude", "v0"], "offset": ["10"]}
    for secret in ("very-secret", "nonsense-key", KEY, "Authorization"):
        assert secret not in noted.text
