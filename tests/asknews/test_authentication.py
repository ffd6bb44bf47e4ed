"""Who is asking: the header, one token for all, its renewal, and secrets that stay where they are."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr

from flows.asknews import (
    AccessDenied,
    ApiKey,
    AskNewsClient,
    AskNewsError,
    Authentication,
    ClientCredentials,
    ConnectionFailed,
    CredentialsRefused,
    GatewayAnswered,
    InvalidRequest,
    Misconfigured,
    MissingCredentials,
    RateLimited,
    RequestTimedOut,
    ServiceFailed,
    UnexpectedResponse,
)
from tests.asknews.fakes import (
    BASIC,
    SECRET,
    SENTINEL_KEY,
    Handler,
    ask,
    assert_tells_no_secret,
    client_of,
    failure_of,
    news,
)

TOKEN_URL = "https://auth.example/oauth2/token"


class Service:
    """A token endpoint that numbers its tokens, and an API that accepts those that are not revoked."""

    def __init__(self, *, expires_in: object = 3600, revoked: Collection[str] = ()) -> None:
        self.expires_in = expires_in
        self.revoked = set(revoked)
        self.token_requests: list[httpx.Request] = []
        self.used: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        # Others get their turn, as on a network: without single-flight, all of them would ask for a token now.
        await asyncio.sleep(0)
        if str(request.url) == TOKEN_URL:
            self.token_requests.append(request)
            token = f"SENTINEL-token-{len(self.token_requests)}"
            return httpx.Response(
                200,
                json={"access_token": token, "token_type": "bearer", "expires_in": self.expires_in, "scope": "news"},
            )
        scheme, token = request.headers["authorization"].split(" ")
        assert scheme == "Bearer"
        self.used.append(token)
        if token in self.revoked:
            return httpx.Response(401, json={"code": 401000, "detail": f"bad token {token}"})
        return httpx.Response(200, json=news())


def credentials(clock: Callable[[], float] = lambda: 0.0) -> ClientCredentials:
    return ClientCredentials("client", SecretStr(SECRET), token_url=TOKEN_URL, clock=clock)


def client(handler: Any, clock: Callable[[], float] = lambda: 0.0) -> AskNewsClient:
    return client_of(handler, authentication=credentials(clock))


async def test_a_token_is_asked_for_as_oauth2_says() -> None:
    service = Service()
    async with client(service) as asknews:
        await ask(asknews)
    (request,) = service.token_requests
    assert request.method == "POST"
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert dict(httpx.QueryParams(request.content.decode())) == {
        "grant_type": "client_credentials",
        "scope": "news stories offline openid",
    }
    assert request.extensions["timeout"]["read"] == 5.0


async def test_five_cold_concurrent_calls_make_one_token_request() -> None:
    service = Service()
    async with client(service) as asknews:
        await asyncio.gather(*(ask(asknews) for _number in range(5)))
    assert len(service.token_requests) == 1
    assert service.used == ["SENTINEL-token-1"] * 5


@pytest.mark.parametrize(
    ("expires_in", "still_good", "too_late"), [(3600, 3539.0, 3540.0), (10, 7.9, 8.0), (0.5, 0.39, 0.41)]
)
async def test_a_token_is_renewed_with_a_margin_before_it_expires(
    expires_in: float, still_good: float, too_late: float
) -> None:
    now = 0.0
    service = Service(expires_in=expires_in)
    async with client(service, lambda: now) as asknews:
        for now in (0.0, still_good, too_late):  # noqa: B007  # the clock reads it
            await ask(asknews)
    assert service.used == ["SENTINEL-token-1", "SENTINEL-token-1", "SENTINEL-token-2"]


@pytest.mark.parametrize("expires_in", [None, 0, -5, "soon", True, {}])
async def test_a_token_of_unknown_life_is_used_until_it_is_refused(expires_in: object) -> None:
    service = Service(expires_in=expires_in)
    async with client(service, lambda: 1e9) as asknews:
        await ask(asknews)
        await ask(asknews)
        service.revoked.add("SENTINEL-token-1")
        await ask(asknews)
    assert service.used == [*["SENTINEL-token-1"] * 3, "SENTINEL-token-2"]


async def test_five_calls_at_once_with_a_revoked_token_renew_it_once() -> None:
    service = Service()
    async with client(service) as asknews:
        await ask(asknews)
        service.revoked.add("SENTINEL-token-1")
        await asyncio.gather(*(ask(asknews) for _number in range(5)))
    assert len(service.token_requests) == 2


async def test_a_second_401_is_final() -> None:
    service = Service(revoked=["SENTINEL-token-1", "SENTINEL-token-2"])
    error = await failure_of(client(service), is_echoed=True)
    assert isinstance(error, CredentialsRefused)
    assert "ASKNEWS_CLIENT_ID and ASKNEWS_CLIENT_SECRET" in str(error)
    assert service.used == ["SENTINEL-token-1", "SENTINEL-token-2"]
    assert_tells_no_secret(error, SECRET, BASIC, "SENTINEL-token", is_echoed=True)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (
            httpx.Response(400, json={"error": "invalid_client", "error_description": f"no {SECRET}"}),
            CredentialsRefused,
        ),
        (httpx.Response(401, json={"error": "invalid_client"}), CredentialsRefused),
        (httpx.Response(403, json={"error": "access_denied"}), CredentialsRefused),
        (httpx.Response(302, headers={"Location": "https://login.example/in?state=1"}), Misconfigured),
        (httpx.Response(404, json={}), InvalidRequest),
        (httpx.Response(429, json={}, headers={"Retry-After": "3"}), RateLimited),
        (httpx.Response(500, json={}), ServiceFailed),
        (httpx.Response(502, text="<html>"), GatewayAnswered),
        (httpx.Response(200, text="<html>"), GatewayAnswered),
        (httpx.Response(200, json=[]), UnexpectedResponse),
        (httpx.Response(200, json={"token": "x"}), UnexpectedResponse),
        (httpx.Response(200, json={"access_token": None}), UnexpectedResponse),
        (httpx.Response(200, json={"access_token": "two\nlines"}), UnexpectedResponse),
        (httpx.ReadError("reset"), ConnectionFailed),
        (httpx.ReadTimeout("slow"), RequestTimedOut),
    ],
)
async def test_a_failing_token_endpoint_is_an_error_of_the_tree(
    response: httpx.Response | Exception, kind: type[AskNewsError]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == TOKEN_URL, "nothing may be asked without a token"
        if isinstance(response, Exception):
            raise response
        return response

    error = await failure_of(client(answer), is_echoed=True)
    assert type(error) is kind
    assert not error.was_sent, "what was to be asked was not, and costs nothing"
    assert error.was_billed == "no"
    assert not isinstance(error, AccessDenied), "that would read as a plan without stories"
    assert "token endpoint" in str(error)
    assert_tells_no_secret(error, SECRET, BASIC, is_echoed=True)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(302, headers={"Location": "https://login.example/in?state=1"}),
        httpx.Response(404, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.ConnectError("Name or service not known"),
    ],
)
async def test_a_token_endpoint_elsewhere_names_its_variable(response: httpx.Response | Exception) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        return response

    assert f"check ASKNEWS_TOKEN_URL, which is {TOKEN_URL}" in str(await failure_of(client(answer)))


async def test_a_failed_renewal_after_a_401_is_not_the_apis_failure() -> None:
    service = Service(revoked=["SENTINEL-token-1"])

    async def answer(request: httpx.Request) -> httpx.Response:
        if service.used:
            raise httpx.ReadTimeout("slow")
        return await service(request)

    error = await failure_of(client(answer))
    assert (type(error), error.was_sent) == (RequestTimedOut, False)


async def test_what_breaks_after_the_token_may_have_reached_the_api() -> None:
    service = Service()

    async def answer(request: httpx.Request) -> httpx.Response:
        if service.token_requests:
            raise httpx.ReadError("reset")
        return await service(request)

    error = await failure_of(client(answer))
    assert (type(error), error.was_sent) == (ConnectionFailed, True)


async def test_after_a_failed_renewal_the_next_call_tries_again() -> None:
    service = Service()
    failures = [httpx.Response(503, json={})]

    async def answer(request: httpx.Request) -> httpx.Response:
        return failures.pop() if failures else await service(request)

    async with client(answer) as asknews:
        with pytest.raises(ServiceFailed):
            await ask(asknews)
        await ask(asknews)
    assert len(service.token_requests) == 1


async def test_a_cancelled_call_does_not_keep_the_others_from_a_token() -> None:
    service, asked = Service(), asyncio.Event()
    hang = [True]

    async def answer(request: httpx.Request) -> httpx.Response:
        if hang.pop() if hang else False:
            asked.set()
            await asyncio.Event().wait()
        return await service(request)

    async with client(answer) as asknews:
        first = asyncio.create_task(ask(asknews))
        await asked.wait()
        second = asyncio.create_task(ask(asknews))
        first.cancel()
        async with asyncio.timeout(5):
            await second
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.parametrize("secret", ["", "two words", "\u00e9"])
def test_client_credentials_that_cannot_be_sent_are_refused(secret: str) -> None:
    with pytest.raises(MissingCredentials, match="ASKNEWS_CLIENT_SECRET"):
        ClientCredentials("client", SecretStr(secret), token_url=TOKEN_URL)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422, 429, 500])
async def test_no_secret_is_in_a_log_or_in_what_objects_say_of_it(
    status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"detail": request.headers["authorization"]})

    handlers: list[tuple[Authentication, Handler]] = [
        (ApiKey(SecretStr(SENTINEL_KEY)), answer),
        (credentials(), answer),
    ]
    with structlog.testing.capture_logs() as events:
        for authentication, handler in handlers:
            async with client_of(handler, authentication=authentication) as asknews:
                try:
                    await ask(asknews)
                except AskNewsError as error:
                    assert_tells_no_secret(error, SECRET, BASIC, is_echoed=True)
                told = repr(asknews) + str(vars(asknews)) + repr(authentication) + str(vars(authentication))
                for secret in (SENTINEL_KEY, SECRET, BASIC):
                    assert secret not in told
    output = "".join(capfd.readouterr())
    for secret in (SENTINEL_KEY, SECRET, BASIC):
        assert secret not in output + repr(events)
