"""Faults hit the requests that they are meant for, as often as they are meant to, and look like the real thing."""

import json
from typing import Any

import httpx
import pytest

from deployments.sandbox import Fault
from deployments.sandbox.damage import POISON_ID
from tests.sandbox.asking import KEY, answer, asking
from tests.support.sandbox_server import ManualClock, RunningSandbox, running_sandbox

SEARCH = "/v1/news/search"
STORIES = "/v1/stories"
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def statuses(client: httpx.AsyncClient, count: int, path: str = SEARCH, **parameters: Any) -> list[int]:
    return [(await client.get(path, params=parameters)).status_code for _ in range(count)]


async def test_a_fault_strikes_as_often_as_told_and_no_more() -> None:
    async with asking(faults=[Fault(kind="service_failed", times=2, after=1)]) as client:
        assert await statuses(client, 5) == [200, 500, 500, 200, 200]


async def test_a_fault_can_strike_for_ever_until_it_is_switched_off() -> None:
    async with asking(faults=[Fault(kind="service_failed", times="forever")]) as client:
        assert await statuses(client, 4) == [500] * 4
        await client.delete("/_sandbox/faults")
        assert await statuses(client, 1) == [200]


async def test_a_fault_strikes_only_its_path_its_page_and_its_query() -> None:
    faults = [
        Fault(kind="service_failed", path=STORIES, query="Claude", times="forever"),
        Fault(kind="service_failed", path=SEARCH, offset=10, times="forever"),
        Fault(kind="unauthorized", path="/oauth2/*"),
    ]
    async with asking(faults=faults) as client:
        assert await statuses(client, 1, STORIES, query="Claude") == [500]
        assert await statuses(client, 1, STORIES, query="Gemini") == [200]
        assert await statuses(client, 1, SEARCH, query="Claude") == [200]
        assert await statuses(client, 1, SEARCH, offset=10) == [500]
        assert await statuses(client, 1, SEARCH, offset=0) == [200]
        assert await statuses(client, 1, "/v1/profiles/me/limits") == [200]
        assert (await client.post("/oauth2/token")).status_code == 401


async def test_faults_are_set_over_http_and_count_what_they_hit() -> None:
    async with asking() as client:
        wanted = [{"kind": "rate_limited", "path": "/v1/*", "times": 2, "retry_after": 7}, {"kind": "forbidden"}]
        created = await client.post("/_sandbox/faults", json=wanted)
        assert created.status_code == 201
        refused = await client.get(SEARCH)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "7"
        assert [(one["kind"], one["fired"]) for one in await answer(client, "/_sandbox/faults")] == [
            ("rate_limited", 1),
            ("forbidden", 0),
        ]
        assert (await client.post("/_sandbox/faults", json=[{"kind": "earthquake"}])).status_code == 422


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(kind="rate_limited"), 429, {"code": 429000, "detail": "Rate Limit Exceeded"}),
        (Fault(kind="rate_limited", code=429001), 429, {"code": 429001, "detail": "Concurrency Limit Exceeded"}),
        (Fault(kind="service_failed"), 500, {"code": 500000, "detail": "Internal Server Error"}),
        (Fault(kind="service_failed", status=503), 503, {"code": 503000, "detail": "Service Unavailable"}),
        (Fault(kind="service_failed", status=504), 504, {"detail": "Gateway Timeout"}),
        (Fault(kind="service_failed", status=408), 408, {"code": 408000, "detail": "Request Timeout"}),
        (Fault(kind="unauthorized"), 401, {"code": 401000, "detail": "Unauthorized"}),
        (
            Fault(kind="forbidden", code=403011),
            403,
            {"code": 403011, "detail": "Your plan does not include access to this API"},
        ),
        (Fault(kind="invalid_request"), 400, {"code": 400000, "detail": "Bad Request"}),
        (Fault(kind="invalid_request", status=402), 402, {"detail": "Payment Required"}),
        (Fault(kind="wrong_shape"), 200, ["neither", "articles", "nor", "stories"]),
    ],
)
async def test_errors_have_their_documented_bodies(fault: Fault, status: int, body: object) -> None:
    async with asking(faults=[fault]) as client:
        response = await client.get(SEARCH)
    assert (response.status_code, response.json()) == (status, body)


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "999999999", "-1", "soon"])
async def test_retry_after_is_sent_as_it_was_given(value: str) -> None:
    async with asking(faults=[Fault(kind="service_failed", retry_after=value)]) as client:
        assert (await client.get(SEARCH)).headers["Retry-After"] == value


@pytest.mark.parametrize(("kind", "status"), [("gateway_html", 502), ("html_200", 200)])
async def test_a_gateway_answers_in_html(kind: Any, status: int) -> None:
    async with asking(faults=[Fault(kind=kind)]) as client:
        response = await client.get(SEARCH)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.text.startswith("<html>")


async def test_malformed_json_breaks_off_in_the_middle() -> None:
    async with asking(faults=[Fault(kind="malformed_json")]) as client:
        response = await client.get(SEARCH)
    with pytest.raises(json.JSONDecodeError):
        response.json()


@pytest.mark.parametrize(("path", "field"), [(SEARCH, "as_dicts"), (STORIES, "stories")])
async def test_malformed_items_stand_beside_good_ones(path: str, field: str) -> None:
    async with asking(clock=ManualClock()) as client:
        good = (await answer(client, path))[field]
        await client.post("/_sandbox/faults", json=[{"kind": "malformed_items", "items": 6}])
        spoilt = (await answer(client, path))[field]
    assert len(spoilt) == len(good) == 10
    assert spoilt[6:] == good[6:]
    assert all(bad != item for bad, item in zip(spoilt[:6], good[:6], strict=True))
    assert len({json.dumps(bad) for bad in spoilt[:6]}) == 6


async def test_a_malformed_story_has_arrays_of_unequal_length() -> None:
    async with asking(clock=ManualClock(), faults=[Fault(kind="malformed_items", items=6)]) as client:
        second: dict[str, Any] = (await answer(client, STORIES))["stories"][1]
    assert len(second["sentiment"]) == len(second["sentiment_timestamps"]) + 1


async def test_the_poison_record_hides_no_good_one() -> None:
    window = {"start_timestamp": ManualClock().timestamp - 1800}
    async with asking(clock=ManualClock()) as client:
        good = (await answer(client, SEARCH, window))["as_dicts"]
        await client.post("/_sandbox/faults", json=[{"kind": "poison", "times": "forever"}])
        first = (await answer(client, SEARCH, window))["as_dicts"]
        assert (await answer(client, SEARCH, window))["as_dicts"] == first
        full_page = (await answer(client, SEARCH))["as_dicts"]
    assert 0 < len(good) < 10
    assert first[:-1] == good
    assert first[-1]["article_id"] == POISON_ID
    assert len(full_page) == 10
    assert POISON_ID not in {article["article_id"] for article in full_page}


async def test_texts_can_hold_what_a_database_refuses() -> None:
    async with asking(faults=[Fault(kind="nul_bytes")]) as client:
        first = (await answer(client, SEARCH))["as_dicts"][0]
    assert "\x00" in first["summary"]
    assert "\x00" in first["title"]
    assert "\ud83d" in first["title"]


async def test_a_field_can_be_huge() -> None:
    async with asking(faults=[Fault(kind="huge_field", size_bytes=3_000_000)]) as client:
        assert len((await answer(client, SEARCH))["as_dicts"][0]["summary"]) == 3_000_000


async def test_a_later_version_brings_unknown_fields_and_values() -> None:
    async with asking(faults=[Fault(kind="unknown_values")]) as client:
        page = (await answer(client, SEARCH))["as_dicts"]
    assert {article["content_type"] for article in page} == {"hologram"}
    assert all("added_next_year" in article for article in page)


async def test_a_small_answer_can_unpack_to_a_large_one() -> None:
    async with (
        asking(faults=[Fault(kind="gzip_bomb", size_bytes=5_500_000)]) as client,
        client.stream("GET", SEARCH) as response,
    ):
        packed = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 20_000
    unpacked = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=packed)
    assert 5_500_000 <= len(unpacked.content) < 5_600_000
    assert unpacked.json() == {"as_dicts": []}


@pytest.fixture
def sandbox() -> Any:
    with running_sandbox(clock=ManualClock()) as running:
        yield running


@pytest.mark.end_to_end
def test_a_connection_is_reset_and_the_next_one_works(sandbox: RunningSandbox) -> None:
    sandbox.add_faults(Fault(kind="reset"))
    with httpx.Client(base_url=sandbox.base_url, headers=HEADERS, trust_env=False) as client:
        with pytest.raises(httpx.ReadError):
            client.get(SEARCH)
        assert client.get(SEARCH).status_code == 200
    assert [(request.fault, request.status) for request in sandbox.requests] == [("reset", None), (None, 200)]


@pytest.mark.end_to_end
def test_an_answer_is_cut_off_in_the_middle(sandbox: RunningSandbox) -> None:
    sandbox.add_faults(Fault(kind="truncated"))
    with httpx.Client(base_url=sandbox.base_url, headers=HEADERS, trust_env=False) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(SEARCH)
        assert client.get(SEARCH).status_code == 200


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["slow", "stalled"])
def test_an_answer_comes_later_than_the_client_waits(sandbox: RunningSandbox, kind: Any) -> None:
    sandbox.add_faults(Fault(kind=kind, seconds=60))
    with httpx.Client(base_url=sandbox.base_url, headers=HEADERS, trust_env=False, timeout=0.2) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get(SEARCH)
        assert client.get(SEARCH, timeout=20).status_code == 200


@pytest.mark.end_to_end
def test_a_slow_answer_is_a_good_one_in_the_end(sandbox: RunningSandbox) -> None:
    sandbox.add_faults(Fault(kind="slow", seconds=0.05))
    response = httpx.get(f"{sandbox.base_url}{SEARCH}", headers=HEADERS, trust_env=False)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() >= 0.05
    assert len(response.json()["as_dicts"]) == 10
