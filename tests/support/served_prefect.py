"""A Prefect server that a test makes up, over HTTP, for what makes its own client: a worker, a command.

A test gives the routes that it needs; everything else is answered with 404, as by a server without it. Answers bear no
date but one that a test gives them.
"""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import APIRouter, FastAPI, WebSocket, WebSocketDisconnect
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

START_SECONDS = 20.0
STOP_SECONDS = 20.0


@contextmanager
def serving(router: APIRouter) -> Generator[str]:
    """Serve `router` on a free port. Yield the API's address, which is Prefect's setting meanwhile."""
    app = FastAPI()
    app.include_router(router, prefix="/api")
    app.add_api_websocket_route("/api/events/{direction}", _stream_events)
    server = uvicorn.Server(
        uvicorn.Config(
            app, ws="websockets-sansio", lifespan="off", log_level="critical", access_log=False, date_header=False
        )
    )
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        api_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            with temporary_settings({PREFECT_API_URL: api_url, PREFECT_LOGGING_TO_API_ENABLED: False}):
                yield api_url
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "the server did not stop"


async def _stream_events(websocket: WebSocket) -> None:
    """Take a client's events, and never send it one. A worker of Prefect 3.8 does not start without these streams."""
    await websocket.accept(subprotocol="prefect")
    try:
        await websocket.receive_json()
        await websocket.send_json({"type": "auth_success"})
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        return
