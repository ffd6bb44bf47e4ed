"""The environment of a request: certificates, proxies and addresses that are wrong, and what the message says."""

import asyncio
from pathlib import Path

import httpx
import pytest

from flows.asknews import AskNewsError, ConnectionFailed, Misconfigured
from tests.asknews.fakes import Respond, ask, client_of, failure_of, http_response, news, raw_server, sends


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(Misconfigured, match=r"SSL_CERT_FILE names .*authority\.pem"):
        client_of()


@pytest.mark.parametrize(
    ("variable", "address", "words"),
    [
        ("ALL_PROXY", "socks5://someone:SENTINEL@127.0.0.1:1080", "ALL_PROXY names a SOCKS proxy.*pip install socksio"),
        ("https_proxy", "ftp://someone:SENTINEL@127.0.0.1:1080", "the proxy in https_proxy cannot be used"),
    ],
)
def test_an_unusable_proxy_says_what_to_do_and_no_password(
    variable: str, address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(Misconfigured, match=words) as caught:
        client_of()
    assert "SENTINEL" not in str(caught.value)
    assert caught.value.__context__ is None


async def through_a_proxy(
    respond: Respond, monkeypatch: pytest.MonkeyPatch, *, base_url: str = "https://asknews.example"
) -> AskNewsError:
    async with raw_server(respond) as address:
        monkeypatch.setenv("ALL_PROXY", address)
        return await failure_of(client_of(base_url=base_url))


@pytest.mark.parametrize("base_url", ["https://asknews.example", "http://asknews.example"])
async def test_a_proxy_that_wants_credentials_says_so_once(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = http_response(b"", status="407 Proxy Authentication Required")
    error = await through_a_proxy(sends(refusal), monkeypatch, base_url=base_url)
    assert isinstance(error, Misconfigured)
    assert (str(error).partition(":")[0], error.was_billed) == ("the proxy asks for credentials", "no")


async def test_a_proxy_that_reaches_nobody_is_a_connection_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await through_a_proxy(sends(http_response(b"", status="502 Bad Gateway")), monkeypatch)
    assert isinstance(error, ConnectionFailed)
    assert (str(error), error.was_billed) == ("the proxy in ALL_PROXY refuses: 502 Bad Gateway", "no")


async def test_a_proxy_that_is_not_there_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed")

    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    assert str(await failure_of(client_of(answer))).endswith(
        "check ASKNEWS_API_URL, which is https://asknews.example, or the proxy in HTTP_PROXY"
    )


async def test_a_certificate_of_nobody_known_names_the_variable() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate")

    error = await failure_of(client_of(answer))
    assert isinstance(error, ConnectionFailed)
    assert "check ASKNEWS_API_URL" in str(error)
    assert "SSL_CERT_FILE must name" in str(error)


async def test_a_server_that_speaks_no_tls_has_billed_nothing() -> None:
    async def speaks_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speaks_plainly, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(client_of(base_url=f"https://127.0.0.1:{port}"))
    assert (type(error), error.was_billed) == (ConnectionFailed, "no")


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_the_address_may_end_with_the_version_or_not(ending: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=news())

    async with client_of(answer, base_url=f"https://asknews.example/proxied{ending}") as client:
        await ask(client)
    assert asked == ["/proxied/v1/news/search"]
