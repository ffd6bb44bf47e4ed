"""Every answer that is not a result becomes one error of the tree, with what to do in it and without a secret."""

import pickle
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from flows.asknews import (
    AccessDenied,
    AskNewsError,
    ConnectionFailed,
    CredentialsRefused,
    GatewayAnswered,
    InvalidRequest,
    Misconfigured,
    PaymentRequired,
    PermanentError,
    RateLimited,
    RequestTimedOut,
    ResponseTooLarge,
    RetryableError,
    ServiceFailed,
    SubscriptionInactive,
    UnexpectedResponse,
    errors,
)
from tests.asknews.fakes import SENTINEL_KEY, article, client_of, failure_of, news

HTML = "<!doctype html><html><body>502 Bad Gateway</body></html>"
NOW = datetime(2026, 9, 7, 22, 0, tzinfo=UTC)


async def failure(status: int, body: Any = None, *, retry_after: str = "", is_echoed: bool = False) -> AskNewsError:
    headers = {"Retry-After": retry_after}

    def answer(_request: httpx.Request) -> httpx.Response:
        if isinstance(body, str):
            return httpx.Response(status, text=body, headers=headers)
        return httpx.Response(status, json=body, headers=headers)

    return await failure_of(client_of(answer), is_echoed=is_echoed)


def told(code: int, detail: str = "explained") -> dict[str, Any]:
    return {"code": code, "detail": detail}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, told(400000), InvalidRequest, 400000),
        (401, told(401000), CredentialsRefused, 401000),
        (401, HTML, CredentialsRefused, None),
        (402, "", PaymentRequired, None),
        (403, told(403000), AccessDenied, 403000),
        (403, told(403011), SubscriptionInactive, 403011),
        (403, "", AccessDenied, None),
        (403, HTML, GatewayAnswered, None),
        (404, told(404000), InvalidRequest, 404000),
        (404, HTML, InvalidRequest, None),
        (405, told(405000), InvalidRequest, 405000),
        (407, "", Misconfigured, None),
        (408, told(408000), ServiceFailed, 408000),
        (409, told(409000), ServiceFailed, 409000),
        (425, "", ServiceFailed, None),
        (422, told(422000), InvalidRequest, 422000),
        (429, told(429000), RateLimited, 429000),
        (429, told(429001), RateLimited, 429001),
        (429, HTML, RateLimited, None),
        (500, told(500000), ServiceFailed, 500000),
        (502, HTML, GatewayAnswered, None),
        (502, "", ServiceFailed, None),
        (503, told(503000), ServiceFailed, 503000),
        (504, "upstream timed out", GatewayAnswered, None),
        (599, told(599000), ServiceFailed, 599000),
        (200, HTML, GatewayAnswered, None),
        (200, "", GatewayAnswered, None),
        (200, '{"as_dicts": [', GatewayAnswered, None),
        (200, "[" * 200_000, GatewayAnswered, None),
        (200, "[]", UnexpectedResponse, None),
        (301, "", Misconfigured, None),
    ],
)
async def test_an_answer_becomes_the_trees_error(
    status: int, body: object, kind: type[AskNewsError], code: int | None
) -> None:
    error = await failure(status, body)
    assert (type(error), error.status, error.code, error.was_sent) == (kind, status, code, True)
    assert str(error)


@pytest.mark.parametrize(
    ("status", "body", "was_billed"),
    [
        (200, HTML, "no"),
        (200, "", "no"),
        (204, "", "no"),
        (302, "", "no"),
        (402, "", "no"),
        (502, HTML, "no"),
        (503, told(503000), "no"),
        (200, '{"as_dicts": [', "unknown"),
        (200, "[]", "unknown"),
        (200, news(*[article(sentiment="good")] * 5), "unknown"),
    ],
)
async def test_an_answer_that_is_not_a_result_of_asknews_is_not_billed(
    status: int, body: object, was_billed: str
) -> None:
    assert (await failure(status, body)).was_billed == was_billed


@pytest.mark.parametrize("body", [None, [], "3", {"code": True}, {"code": "429000"}, {"code": 10**30}, {"code": -1}])
async def test_an_error_body_of_another_shape_only_lacks_its_code(body: object) -> None:
    error = await failure(429, body)
    assert (type(error), error.code) == (RateLimited, None)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, told(401000), "ASKNEWS_API_KEY"),
        (402, "", "buy credits"),
        (403, told(403000), "plan"),
        (403, told(403011), "subscription is inactive"),
        (404, told(404000, "no such\n  thing"), "no such thing"),
        (429, told(429000), "too many requests in a time"),
        (429, told(429001), "too many requests at once"),
        (200, HTML, "check ASKNEWS_API_URL, which is https://asknews.example"),
        (301, "", "check ASKNEWS_API_URL, which is https://asknews.example"),
        (404, "", "check ASKNEWS_API_URL, which is https://asknews.example"),
        (404, told(404000), "check ASKNEWS_API_URL, which is https://asknews.example"),
        (407, "", "the proxy asks for credentials: put them into HTTPS_PROXY"),
    ],
)
async def test_the_message_says_what_is_wrong_and_what_to_do(status: int, body: object, words: str) -> None:
    assert words in str(await failure(status, body))


async def test_a_validation_error_names_the_field_and_quotes_no_input() -> None:
    problem = {"loc": ["header", "authorization"], "msg": "too short", "type": "value", "input": "Bearer other-secret"}
    error = await failure(422, {"code": 422000, "detail": [problem, "odd", {}]})
    assert "header.authorization: too short" in str(error)
    assert "other-secret" not in str(error)


async def test_a_key_repeated_in_the_answer_stays_out_of_the_message() -> None:
    error = await failure(401, told(401000, f"{'x' * 283} invalid key {SENTINEL_KEY}"), is_echoed=True)
    assert "ank_" not in str(error)


async def test_a_redirect_is_not_followed_lest_the_key_travel() -> None:
    requests: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request.url)
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/"})

    error = await failure_of(client_of(answer))
    assert isinstance(error, Misconfigured)
    assert "AskNews redirects to https://elsewhere.example/: check ASKNEWS_API_URL, which is https://asknews" in str(
        error
    )
    assert [url.host for url in requests] == ["asknews.example"]


async def test_an_inactive_subscription_is_not_a_plans_missing_feature() -> None:
    assert not isinstance(await failure(403, told(403011)), AccessDenied)


async def test_a_long_explanation_is_cut() -> None:
    assert len(str(await failure(400, told(400000, "x" * 100_000)))) < 500


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
@pytest.mark.parametrize("body", [{}, HTML])
async def test_retry_after_is_read_wherever_a_retry_can_help(status: int, body: object) -> None:
    error = await failure(status, body, retry_after="7")
    assert isinstance(error, RetryableError)
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("raised", "kind", "was_sent"),
    [
        (httpx.ConnectTimeout("slow"), RequestTimedOut, False),
        (httpx.ReadTimeout("slow"), RequestTimedOut, True),
        (httpx.WriteTimeout("slow"), RequestTimedOut, True),
        (httpx.PoolTimeout("slow"), RequestTimedOut, False),
        (httpx.ConnectError("Name or service not known"), ConnectionFailed, False),
        (httpx.ReadError("reset"), ConnectionFailed, True),
        (httpx.WriteError("reset"), ConnectionFailed, True),
        (httpx.CloseError("reset"), ConnectionFailed, True),
        (httpx.RemoteProtocolError("Server disconnected"), ConnectionFailed, True),
        (httpx.LocalProtocolError(f"Illegal header value b'Bearer {SENTINEL_KEY}'"), ConnectionFailed, True),
        (httpx.ProxyError("407 Proxy Authentication Required"), Misconfigured, False),
        (httpx.ProxyError("502 Bad Gateway"), ConnectionFailed, False),
        (httpx.UnsupportedProtocol("ftp"), Misconfigured, False),
        (httpx.DecodingError("bad"), GatewayAnswered, True),
        (httpx.TooManyRedirects("bad"), ConnectionFailed, True),
        (ConnectionResetError("reset"), ConnectionFailed, True),
        (TimeoutError(), RequestTimedOut, True),
    ],
)
async def test_every_error_of_the_transport_becomes_one_of_the_tree(
    raised: Exception, kind: type[AskNewsError], *, was_sent: bool
) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise raised

    error = await failure_of(client_of(answer))
    assert (type(error), error.status, error.was_sent) == (kind, None, was_sent)
    assert error.was_billed == ("unknown" if was_sent else "no")


def test_no_transport_error_of_httpx_is_left_out_above() -> None:
    pending, kinds = [httpx.TransportError], set[str]()
    while pending:
        below = pending.pop().__subclasses__()
        pending += below
        kinds |= {kind.__name__ for kind in below if kind.__module__ == "httpx" and not kind.__subclasses__()}
    marks = test_every_error_of_the_transport_becomes_one_of_the_tree.pytestmark  # pyright: ignore[reportFunctionMemberAccess]  # pytest puts it there
    covered = {type(parameters[0]).__name__ for parameters in marks[0].args[1]}
    assert kinds <= covered


async def test_an_oversized_body_is_refused_though_delivered_whole() -> None:
    client = client_of(lambda _request: httpx.Response(200, content=b" " * 2_000), max_response_bytes=1_000)
    assert isinstance(await failure_of(client), ResponseTooLarge)


@pytest.mark.parametrize(("status", "kind"), [(200, ResponseTooLarge), (422, InvalidRequest)])
async def test_more_objects_than_a_page_has_are_never_parsed(status: int, kind: type[AskNewsError]) -> None:
    items = "{}," * 300_000
    error = await failure(status, '{"as_dicts": [' + items + '{}], "detail": "' + "not read" + '"}')
    assert isinstance(error, kind)
    assert "not read" not in str(error)


@pytest.mark.parametrize("poison", ["NaN", "-Infinity", "1e999", "9" * 5_000])
async def test_a_number_that_is_none_costs_its_item_and_not_the_page(poison: str) -> None:
    body = httpx.Response(200, json=news(article(), article(pub_date="POISON"))).text.replace('"POISON"', poison)
    async with client_of(lambda _request: httpx.Response(200, text=body)) as client:
        page = await client.search_news(names=["Claude"], start=NOW, end=NOW, page_size=10)
    assert (len(page.records), len(page.rejects)) == (1, 1)


async def test_broken_utf8_costs_a_character_and_not_the_page() -> None:
    body = httpx.Response(200, json=news(article(title="POISON"))).content.replace(b"POISON", b"caf\xe9")
    async with client_of(lambda _request: httpx.Response(200, content=b"\xef\xbb\xbf" + body)) as client:
        page = await client.search_news(names=["Claude"], start=NOW, end=NOW, page_size=10)
    assert page.records[0].title == "caf\ufffd"


def every_kind(below: type[AskNewsError]) -> list[type[AskNewsError]]:
    return [below, *(kind for child in below.__subclasses__() for kind in every_kind(child))]


@pytest.mark.parametrize("kind", every_kind(AskNewsError))
def test_an_error_survives_the_way_between_processes(kind: type[AskNewsError]) -> None:
    error = kind("what to do", status=429, code=429001)
    if isinstance(error, RetryableError):
        error.retry_after = 3.0
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (type(copy), str(copy), vars(copy)) == (kind, "what to do", vars(error))


def test_each_error_is_in_the_tree_and_retryable_or_permanent() -> None:
    for kind in every_kind(AskNewsError):
        assert kind.__name__ in str(errors.__doc__)
        assert kind is AskNewsError or issubclass(kind, RetryableError) != issubclass(kind, PermanentError)
