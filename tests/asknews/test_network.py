"""Over a real connection: resets, truncation, silence, drip, and bodies that are larger than they look."""

import asyncio
import gzip
import socket
import struct
import tracemalloc
import zlib

import pytest
from pydantic import SecretStr

from flows.asknews import (
    Article,
    AskNewsError,
    ClientCredentials,
    ConnectionFailed,
    GatewayAnswered,
    Page,
    RequestTimedOut,
    ResponseTooLarge,
)
from flows.asknews.responses import UNPACKED_STEP
from tests.asknews.fakes import (
    Respond,
    article,
    as_json,
    ask,
    client_of,
    failure_of,
    http_response,
    news,
    raw_server,
    sends,
)

LIMIT = 100_000
GZIP = "Content-Encoding: gzip"


async def failure(respond: Respond, *, read_timeout_seconds: float = 5.0) -> AskNewsError:
    async with raw_server(respond) as address:
        return await failure_of(
            client_of(base_url=address, read_timeout_seconds=read_timeout_seconds, max_response_bytes=LIMIT)
        )


async def result(respond: Respond) -> Page[Article]:
    async with raw_server(respond) as address, client_of(base_url=address, max_response_bytes=LIMIT) as client:
        return await ask(client)


def resets_after(*parts: bytes) -> Respond:
    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return respond


async def hangs(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_whole_answer_arrives_plain_and_packed() -> None:
    body = as_json(news(article()))
    for response in (
        http_response(body),
        http_response(gzip.compress(body), GZIP),
        http_response(gzip.compress(body), "Content-Encoding: X-GZIP"),
    ):
        assert len((await result(sends(response))).records) == 1


async def test_a_packed_answer_of_many_steps_arrives_whole() -> None:
    articles = [article(page_rank=number) for number in range(90)]
    body = gzip.compress(as_json(news(*articles)))
    assert UNPACKED_STEP < len(gzip.decompress(body)) < LIMIT
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    head = http_response(body, GZIP)[: -len(body)]
    page = await result(sends(head, *pieces))
    assert [record.page_rank for record in page.records] == list(range(90))


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(sends(), id="closed without a word"),
        pytest.param(resets_after(), id="reset without a word"),
        pytest.param(sends(b"SSH-2.0-OpenSSH_9.6\r\n"), id="not HTTP"),
        pytest.param(sends(http_response(b'{"plan": "an')[:-4]), id="body shorter than announced"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Le"), id="cut in the headers"),
        pytest.param(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}   \r\n"), id="cut between chunks"
        ),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), id="broken chunk"),
        pytest.param(resets_after(http_response(b"{" * 1_000)[:-500]), id="reset in the body"),
    ],
)
async def test_a_connection_that_breaks_is_a_connection_that_failed(respond: Respond) -> None:
    error = await failure(respond)
    assert isinstance(error, ConnectionFailed)
    assert error.was_sent


async def test_a_refused_connection_is_a_connection_that_failed() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure_of(client_of(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert isinstance(error, ConnectionFailed)
    assert "no connection to AskNews" in str(error)
    assert not error.was_sent


async def test_a_server_that_says_nothing_is_timed_out() -> None:
    assert isinstance(await failure(hangs, read_timeout_seconds=0.05), RequestTimedOut)


async def test_a_server_that_stops_in_the_body_is_timed_out() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_response(b"{}")[:-1])
        await writer.drain()
        await hangs(reader, writer)

    assert isinstance(await failure(respond, read_timeout_seconds=0.05), RequestTimedOut)


async def test_a_body_that_drips_in_for_ever_is_timed_out() -> None:
    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_response(b" " * 50_000)[:-50_000])
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        assert isinstance(await failure(respond, read_timeout_seconds=0.2), RequestTimedOut)


async def test_a_gzip_bomb_is_noticed_before_it_costs_memory() -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        error = await failure(sends(http_response(bomb, GZIP)))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, ResponseTooLarge)
    assert error.status == 200
    assert peak < 5_000_000


async def test_an_error_page_is_bounded_too() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert isinstance(await failure(sends(http_response(bomb, GZIP, status="500 No"))), ResponseTooLarge)


async def test_a_body_without_an_end_is_cut_off() -> None:
    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b" " * 4_096 + b"\r\n")
            await writer.drain()

    assert isinstance(await failure(respond), ResponseTooLarge)


async def test_packed_bytes_count_although_they_unpack_to_nothing() -> None:
    body = gzip.compress(b"{}") + b"\0" * (LIMIT + 1)
    assert isinstance(await failure(sends(http_response(body, GZIP))), ResponseTooLarge)


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = as_json(news()).ljust(LIMIT)
    assert (await result(sends(http_response(body)))).fetched == 0
    assert (await result(sends(http_response(gzip.compress(body), GZIP)))).fetched == 0
    assert isinstance(await failure(sends(http_response(body + b" "))), ResponseTooLarge)
    assert isinstance(await failure(sends(http_response(gzip.compress(body + b" "), GZIP))), ResponseTooLarge)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(http_response(b"not gzip at all", GZIP), id="not packed"),
        pytest.param(http_response(gzip.compress(b"{}")[:-4], GZIP), id="incomplete"),
        pytest.param(http_response(gzip.compress(b"{}")[:-8] + b"\0" * 8, GZIP), id="wrong checksum"),
        pytest.param(http_response(gzip.compress(gzip.compress(b"{}")), "Content-Encoding: gzip, gzip"), id="twice"),
        pytest.param(http_response(zlib.compress(b"{}"), "Content-Encoding: deflate"), id="deflate"),
        pytest.param(http_response(b"{}", "Content-Encoding: br"), id="brotli"),
    ],
)
async def test_damaged_packing_or_packing_not_asked_for_is_a_gateways(response: bytes) -> None:
    error = await failure(sends(response))
    assert isinstance(error, GatewayAnswered)
    assert error.status == 200


async def test_an_empty_body_that_claims_to_be_packed_is_empty() -> None:
    error = await failure(sends(http_response(b"", GZIP, status="503 No")))
    assert error.status == 503


@pytest.mark.parametrize(
    ("respond", "kind"),
    [
        pytest.param(hangs, RequestTimedOut, id="silent"),
        pytest.param(
            sends(http_response(gzip.compress(b" " * 10_000_000), GZIP)), ResponseTooLarge, id="larger than it looks"
        ),
        pytest.param(resets_after(), ConnectionFailed, id="reset"),
    ],
)
async def test_the_token_endpoint_is_bounded_like_the_api(respond: Respond, kind: type[AskNewsError]) -> None:
    async with raw_server(respond) as address:
        client = client_of(
            base_url=address,
            authentication=ClientCredentials("client", SecretStr("secret"), token_url=f"{address}/oauth2/token"),
            read_timeout_seconds=0.5,
            max_response_bytes=LIMIT,
        )
        error = await failure_of(client)
    assert (type(error), error.was_sent) == (kind, False)


async def test_a_refusal_before_a_renewed_token_is_bounded_too() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_response(as_json({"access_token": "token"})))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http_response(gzip.compress(b" " * 10_000_000), GZIP, status="401 No"))

    async with raw_server(respond) as address:
        client = client_of(
            base_url=address,
            authentication=ClientCredentials("client", SecretStr("secret"), token_url=f"{address}/oauth2/token"),
            max_response_bytes=LIMIT,
        )
        assert isinstance(await failure_of(client), ResponseTooLarge)


async def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(sends(http_response(as_json(news(article()))))) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with client_of(base_url="http://asknews.invalid") as client:
            assert (await ask(client)).fetched == 1
