"""What a request passes before it is answered: it is noted, a fault may hit it, and it counts against the limits."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.sandbox.access import credential_kind
from deployments.sandbox.breakages import BREAKAGES, refusal
from deployments.sandbox.connections import Connections
from deployments.sandbox.errors import CONCURRENCY_LIMIT_EXCEEDED, error_response
from deployments.sandbox.faults import Fault, FaultBoard
from deployments.sandbox.limits import Limits

REMEMBERED_REQUESTS = 10_000


@dataclass
class NotedRequest:
    """What was asked, without the credential itself. `status` is None while, or if, there is no answer."""

    at: datetime
    method: str
    path: str
    query: dict[str, list[str]]
    credential: str
    fault: str | None = None
    status: int | None = None


class Gate:
    """ASGI middleware around the API; other paths, such as the sandbox's own, pass unseen."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Callable[[], datetime],
        faults: FaultBoard,
        limits: Limits,
        requests: deque[NotedRequest],
        connections: Connections,
    ) -> None:
        self._app = app
        self._clock = clock
        self._faults = faults
        self._limits = limits
        self._requests = requests
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a fault or a refusal."""
        if scope["type"] != "http" or not (scope["path"].startswith("/v1/") or scope["path"] == "/oauth2/token"):
            await self._app(scope, receive, send)
            return
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        noted = self._note(scope, parameters)
        fault = self._faults.hit(scope["path"], parameters)
        noted.fault = None if fault is None else fault.kind

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted.status = message["status"]
                MutableHeaders(scope=message).update(self._limits.headers())
            await send(message)

        self._limits.in_progress += 1
        try:
            await self._answer(scope, receive, noting_send, fault)
        finally:
            self._limits.in_progress -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send, fault: Fault | None) -> None:
        if fault is not None:
            if (breakage := BREAKAGES.get(fault.kind)) is not None:
                await breakage(fault, self._connections, scope, receive, send)
                return
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            if (response := refusal(fault)) is not None:
                await response(scope, receive, send)
                return
            scope.setdefault("state", {})["fault"] = fault
        if (response := self._limited()) is not None:
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _limited(self) -> Response | None:
        if self._limits.in_progress > self._limits.concurrency:
            return error_response(429, code=CONCURRENCY_LIMIT_EXCEEDED, headers={"Retry-After": "1"})
        if not self._limits.take():
            return error_response(429, headers={"Retry-After": str(self._limits.retry_after())})
        return None

    def _note(self, scope: Scope, parameters: list[tuple[str, str]]) -> NotedRequest:
        query: dict[str, list[str]] = {}
        for name, value in parameters:
            query.setdefault(name, []).append(value)
        noted = NotedRequest(
            at=self._clock(),
            method=scope["method"],
            path=scope["path"],
            query=query,
            credential=credential_kind(Headers(scope=scope).get("authorization", "")),
        )
        self._requests.append(noted)
        return noted
