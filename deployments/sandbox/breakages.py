"""How faults answer in place of the API: with an error, with something that is not JSON, or not to the end."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from math import ceil

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from deployments.sandbox.connections import Connections
from deployments.sandbox.errors import error_response
from deployments.sandbox.faults import STATUS_OF_KIND, Fault, FaultKind

_GATEWAY_PAGE = "<html><head><title>{status} {title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>"
_BEGINNING = b'{"as_dicts": [{"article_id": "6f1d2c1a-1f0e-5c53-9a3e-2f4d7e0b9c11", "title": "The begin'
_ZLIB_GZIP = 31

Breakage = Callable[[Fault, Connections, Scope, Receive, Send], Awaitable[None]]


def refusal(fault: Fault) -> Response | None:
    """Return the whole answer that `fault` gives in place of the API's; None if the API is to answer."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if (usual := STATUS_OF_KIND.get(fault.kind)) is not None:
        return error_response(fault.status or usual, code=fault.code, headers=headers)
    match fault.kind:
        case "gateway_html":
            status = fault.status or 502
            return HTMLResponse(_GATEWAY_PAGE.format(status=status, title="Bad Gateway"), status, headers)
        case "redirect":
            return RedirectResponse("https://elsewhere.example/login", fault.status or 302)
        case "html_200":
            return HTMLResponse(_GATEWAY_PAGE.format(status="", title="Down for maintenance"), headers=headers)
        case "malformed_json":
            return Response(_BEGINNING, media_type="application/json")
        case "wrong_shape":
            return JSONResponse(["neither", "articles", "nor", "stories"])
        case "gzip_bomb":
            return Response(
                _packed(fault.size_bytes), headers={"Content-Encoding": "gzip"}, media_type="application/json"
            )
        case _:
            return None


def _packed(size_bytes: int) -> bytes:
    """A gzip stream that unpacks to JSON of about `size_bytes`, packed piece by piece."""
    packer = zlib.compressobj(wbits=_ZLIB_GZIP)
    piece = b" " * 1_000_000
    pieces = [packer.compress(piece[: min(len(piece), size_bytes - at)]) for at in range(0, size_bytes, len(piece))]
    return b"".join((*pieces, packer.compress(b'{"as_dicts": []}'), packer.flush()))


async def _send_beginning(send: Send) -> None:
    """Promise a long answer and send its first bytes."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BEGINNING, "more_body": True})


async def _wait_until_gone(receive: Receive) -> None:
    # Returning earlier would make the server answer on a connection that is already broken.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(_fault: Fault, connections: Connections, scope: Scope, receive: Receive, _send: Send) -> None:
    connections.reset(tuple(scope["client"]))
    await _wait_until_gone(receive)


async def _truncated(_fault: Fault, connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
    await _send_beginning(send)
    connections.close(tuple(scope["client"]))
    await _wait_until_gone(receive)


async def _stalled(fault: Fault, connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
    await _send_beginning(send)
    await asyncio.sleep(fault.seconds)
    connections.close(tuple(scope["client"]))
    await _wait_until_gone(receive)


async def _drips(fault: Fault, connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
    """A byte a second: each read is in time, and the answer never is."""
    await _send_beginning(send)
    for _ in range(ceil(fault.seconds)):
        await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
    connections.close(tuple(scope["client"]))
    await _wait_until_gone(receive)


BREAKAGES: dict[FaultKind, Breakage] = {
    "reset": _reset,
    "truncated": _truncated,
    "drips": _drips,
    "stalled": _stalled,
}
