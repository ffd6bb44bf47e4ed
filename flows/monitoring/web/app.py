"""The health endpoint and the status page: a small web application that only reads the pipeline's database.

It needs neither Prefect's server nor Prefect itself (but for a database that is configured as one of Prefect's blocks),
so that it tells the truth when those are what is broken.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.database.engine import DATABASE_ERRORS, engine_from_settings, reading
from flows.monitoring.alarms.audience import read_audience
from flows.monitoring.alarms.links import Links
from flows.monitoring.verdicts.history import read_history
from flows.monitoring.verdicts.report import read_report
from flows.monitoring.vocabulary import Verdict
from flows.monitoring.web.documents import Alive, SchedulerHealth, document_of, unavailable_document
from flows.monitoring.web.folded import split
from flows.monitoring.web.metrics import CONTENT_TYPE, metrics_of
from flows.monitoring.web.page import Snapshot, content_security_policy, render_page
from flows.monitoring.web.sharing import Shared
from flows.settings import MonitoringSettings

# A monitor is answered within 2 seconds, whatever the database does.
ANSWER_SECONDS = 1.5
# A reading may take longer, for those who ask next, but not for ever.
READ_SECONDS = 5.0
REPORT_KEPT_SECONDS = 1.0
# The page's past costs more to read, and nobody looks twice a second.
PAGE_KEPT_SECONDS = 5.0

# On every response: that it must not be kept, embedded, or taken for something else.
_HEADERS = Headers(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": content_security_policy(),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
).raw

T = TypeVar("T")

logger = structlog.stdlib.get_logger()


def create_app(settings: MonitoringSettings) -> FastAPI:
    """Make the application. It opens the database when it starts, and answers without it when that fails."""
    reader = _Reader(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await reader.open()
        yield
        await reader.close()

    app = FastAPI(
        title="VibeCheck's pipeline: health",
        description="Whether the scheduled jobs do what is expected of them. Read from the database alone.",
        version="1",
        lifespan=lifespan,
        # They would load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # A redirect would lead to wherever the request's Host header says.
        redirect_slashes=False,
    )

    app.add_middleware(_WithHeaders)

    async def alive() -> Alive:
        """Say that the health service itself answers. This says nothing about the jobs or the database."""
        return Alive()

    async def scheduler_health() -> Response:
        """Return the verdict on every job: 200 if all are healthy (or paused), else 503."""
        answer = await reader.verdicts() or _verdicts(unavailable_document())
        return Response(answer.body, answer.status_code, media_type="application/json")

    async def status_page() -> HTMLResponse:
        """Show the same to people: the status page. 503 if the database cannot be read."""
        answer = await reader.page() or _Answer(503, render_page(None))
        return HTMLResponse(answer.body, answer.status_code)

    async def metrics() -> Response:
        """Tell Prometheus the same. 503 if the database cannot be read, which counts as a scrape that failed."""
        answer = await reader.metrics() or _Answer(503, "# The database cannot be read.\n")
        return Response(answer.body, answer.status_code, media_type=CONTENT_TYPE)

    verdict = {"model": SchedulerHealth}
    page: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}
    samples: dict[str, Any] = {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}
    _add_route(app, "/health", alive)
    _add_route(
        app,
        "/health/scheduler",
        scheduler_health,
        responses={
            200: {**verdict, "description": "All jobs are healthy."},
            503: {**verdict, "description": "Not all jobs are healthy, or the database cannot be read."},
        },
    )
    _add_route(
        app,
        "/metrics",
        metrics,
        response_class=Response,
        responses={
            200: {**samples, "description": "The metrics."},
            503: {**samples, "description": "The database cannot be read."},
        },
    )
    _add_route(
        app,
        "/",
        status_page,
        response_class=HTMLResponse,
        responses={
            200: {**page, "description": "The status page."},
            503: {**page, "description": "The database cannot be read."},
        },
    )
    return app


class _WithHeaders:
    """Adds the headers to each response. `@app.middleware` would start a task for each, which costs as much again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


@dataclass(frozen=True)
class _Answer:
    """A response as it is sent, kept in this form because it is sent many times."""

    status_code: int
    body: str


def _verdicts(document: SchedulerHealth) -> _Answer:
    return _Answer(200 if document.status == Verdict.HEALTHY else 503, document.model_dump_json())


class _Reader:
    """Reads the report for all who ask: one reading at a time, each at most so long, each answer kept for a while.

    So the connections to the database do not grow with the requests, and a database that hangs delays nobody.
    """

    def __init__(self, settings: MonitoringSettings) -> None:
        self._settings = settings
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._was_available = True
        self._verdicts: Shared[_Answer | None] = Shared(
            lambda: self._read(self._read_verdicts), keep_seconds=REPORT_KEPT_SECONDS, wait_seconds=ANSWER_SECONDS
        )
        self._metrics: Shared[_Answer | None] = Shared(
            lambda: self._read(self._read_metrics), keep_seconds=REPORT_KEPT_SECONDS, wait_seconds=ANSWER_SECONDS
        )
        self._page: Shared[_Answer | None] = Shared(
            lambda: self._read(self._read_page), keep_seconds=PAGE_KEPT_SECONDS, wait_seconds=ANSWER_SECONDS
        )

    async def open(self) -> None:
        """Read once, since the first time costs more: drivers are imported, statements compiled. It may well fail."""
        await self.page()

    async def close(self) -> None:
        """Stop reading, and close the connections."""
        await self._verdicts.close()
        await self._metrics.close()
        await self._page.close()
        if self._engine is not None:
            await self._engine.dispose()

    async def verdicts(self) -> _Answer | None:
        """Return the verdicts, or None if the database cannot be read in time."""
        return await _in_time(self._verdicts)

    async def metrics(self) -> _Answer | None:
        """Return the metrics, or None if the database cannot be read in time."""
        return await _in_time(self._metrics)

    async def page(self) -> _Answer | None:
        """Return the status page, or None if the database cannot be read in time."""
        return await _in_time(self._page)

    async def _read(self, read: Callable[[AsyncConnection], Awaitable[T]]) -> T | None:
        answer, error = None, None
        try:
            async with asyncio.timeout(READ_SECONDS), reading(await self._get_engine()) as connection:
                answer = await read(connection)
        except (*DATABASE_ERRORS, TimeoutError) as caught:
            error = caught
        self._note_outcome(error)
        return answer

    async def _read_verdicts(self, connection: AsyncConnection) -> _Answer:
        report = await read_report(connection, self._settings)
        return _verdicts(document_of(report, await read_audience(connection)))

    async def _read_metrics(self, connection: AsyncConnection) -> _Answer:
        report = await read_report(connection, self._settings)
        return _Answer(200, metrics_of(report, await read_audience(connection)))

    async def _read_page(self, connection: AsyncConnection) -> _Answer:
        report = await read_report(connection, self._settings)
        audience = await read_audience(connection)
        cards, _ = split(report, audience)
        histories = {job.expected.name: await read_history(connection, job.expected, report.at) for job in cards}
        links = Links(ui_url=(self._settings.prefect_ui_url or "").rstrip("/"))
        return _Answer(200, render_page(Snapshot(report, histories, audience, links)))

    async def _get_engine(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                # A file may be restored under this process, which lives for months.
                self._engine = await engine_from_settings(self._settings, keep_files_open=False)
            return self._engine

    def _note_outcome(self, error: Exception | None) -> None:
        """Log the change, and not each of the readings: monitors ask often."""
        is_available = error is None
        if is_available != self._was_available:
            if error is not None:
                # What follows the first line is the statement.
                reason = (str(error).splitlines() or ["no answer in time"])[0]
                logger.error("health_database_unavailable", error_type=type(error).__name__, error=reason)
            else:
                logger.info("health_database_available")
        self._was_available = is_available


async def _in_time(shared: Shared[T | None]) -> T | None:
    try:
        return await shared.get()
    except TimeoutError:
        return None


def _add_route(app: FastAPI, path: str, endpoint: Callable[[], Awaitable[Any]], **options: Any) -> None:
    app.get(path, **options)(endpoint)
    # Some monitors ask with HEAD; the server leaves out the body. Some put a slash at the end.
    app.head(path, include_in_schema=False)(endpoint)
    if path != "/":
        app.api_route(f"{path}/", methods=["GET", "HEAD"], include_in_schema=False)(endpoint)
