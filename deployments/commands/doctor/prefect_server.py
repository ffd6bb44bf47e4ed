"""The Prefect server: whether it answers, its version, who may use it, and its own settings."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import requires
from typing import Any, cast

import httpx
from packaging.requirements import Requirement
from prefect.client.base import ServerType
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import PrefectException
from pydantic import TypeAdapter

from deployments.commands.doctor.checks import CHECK_SECONDS, Check, Finding, Mark, find, in_short, sentence
from deployments.commands.doctor.jobs import job_checks
from deployments.failures import CommandFailed
from deployments.server.environments import SERVER_FILE, require_server, server_settings
from flows.monitoring.prefect_runs import server_now
from flows.settings import IS_CHECKOUT, PROJECT_ROOT, Settings

SUBJECT = "Prefect"
START_WITH = (
    f"Start the server with {SERVER_FILE.relative_to(PROJECT_ROOT) if IS_CHECKOUT else SERVER_FILE}, which says why."
)
# A connection that is not refused is made in less.
CONNECT_SECONDS = 5.0
# Prefect's client asks a server that hangs again and again.
ANSWER_SECONDS = 8.0
_TOO_LITTLE_TO_MATTER = timedelta(seconds=1)

Connect = Callable[[], AbstractAsyncContextManager[PrefectClient]]


@asynccontextmanager
async def connected() -> AsyncGenerator[PrefectClient]:
    """Yield a client of the server at PREFECT_API_URL that gives up soon."""
    async with get_client(httpx_settings={"timeout": CONNECT_SECONDS}) as client:
        yield client


def prefect_checks(settings: Settings, connect: Connect = connected) -> list[Check]:
    """Return the checks of the server and of what is on it: one, since all else depends on that it answers."""

    async def look() -> Sequence[Finding]:
        try:
            require_server()
        except CommandFailed as error:
            return [Finding(SUBJECT, Mark.FAILURE, str(error))]
        async with connect() as client:
            return await look_at_server(client, settings)

    # Within it are checks that have their own time.
    return [Check(SUBJECT, look, 2 * CHECK_SECONDS)]


async def look_at_server(client: PrefectClient, settings: Settings) -> Sequence[Finding]:
    """Look at the server, and, if it answers, at what is on it."""
    address = httpx.URL(str(client.api_url))
    shown = str(address.copy_with(username=None, password=None, query=None)).rstrip("/")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await server_now(client)
        own = [] if client.server_type == ServerType.CLOUD else [*await _about(client, shown), await _login(address)]
    except httpx.HTTPStatusError as error:
        return [_refusal(error, shown)]
    except (httpx.HTTPError, PrefectException, OSError) as error:
        return [_no_answer(error, shown)]
    if not own:
        own = [Finding(SUBJECT, Mark.WELL, f"Prefect Cloud answers at {shown}.")]
    return [*own, *await find(job_checks(client, settings))]


async def prefect_ahead(connect: Connect = connected) -> timedelta | None:
    """Return how far the server's clock is ahead of ours, to a second; None if it does not answer."""
    try:
        require_server()
        async with connect() as client:
            before = datetime.now(UTC)
            async with asyncio.timeout(ANSWER_SECONDS):
                theirs = await server_now(client)
            ahead = theirs - (before + (datetime.now(UTC) - before) / 2)
    except (CommandFailed, httpx.HTTPError, PrefectException, OSError):
        return None
    # The server tells its time in whole seconds.
    return timedelta(0) if abs(ahead) <= _TOO_LITTLE_TO_MATTER else ahead


async def _about(client: PrefectClient, shown: str) -> list[Finding]:
    """The server's version and settings."""
    version = await client.api_version()
    supported = next(
        needed.specifier
        for needed in map(Requirement, requires("vibecheck-pipeline") or ())
        if needed.name == "prefect" and needed.marker is None
    )
    if supported.contains(version, prereleases=True):
        found = Finding(SUBJECT, Mark.WELL, f"{version} answers at {shown}.")
    else:
        text = f"{version} answers at {shown}; this pipeline is made for {supported}."
        found = Finding(SUBJECT, Mark.WARNING, text, "Bring the server to one of those versions.")
    response = await client.request("GET", "/admin/settings")
    return [found, settings_finding(cast("dict[str, Any]", response.json()))]


def settings_finding(document: Mapping[str, Any]) -> Finding:
    """Compare the server's settings (as its API tells them) with those that the monitoring needs."""
    subject = "server settings"
    wanted = server_settings()
    problems: list[str] = []
    if str(_at(document, "server", "concurrency", "lease_storage")).endswith(".memory"):
        problems.append("leases are kept in memory, so that a restart can block a job for ever")
    late = "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS"
    if _duration(_at(document, "server", "services", "late_runs", "after_seconds")) != _duration(wanted[late]):
        problems.append(f"late runs are not missed when they should be ({late} is not {wanted[late]})")
    buffer = "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER"
    if _duration(_at(document, "server", "events", "expired_bucket_buffer")) < _duration(wanted[buffer]):
        problems.append(f"overdue timers do not survive a server that is away ({buffer} is below {wanted[buffer]})")
    if problems:
        return Finding(subject, Mark.WARNING, sentence("; ".join(problems)), START_WITH)
    return Finding(subject, Mark.WELL, "Leases, late runs and timers are as the monitoring needs them.")


async def _login(address: httpx.URL) -> Finding:
    """Whether somebody without a password is refused."""
    async with httpx.AsyncClient(timeout=CONNECT_SECONDS) as stranger:
        response = await stranger.get(f"{str(address).rstrip('/')}/admin/version")
    if response.is_success:
        text = "It asks for none: whoever reaches it can let the workers execute commands."
        to_do = "Set PREFECT_SERVER_API_AUTH_STRING for the server, PREFECT_API_AUTH_STRING for whoever uses it."
        return Finding("login", Mark.WARNING, text, to_do)
    return Finding("login", Mark.WELL, "The server refuses whoever has no password.")


def _refusal(error: httpx.HTTPStatusError, shown: str) -> Finding:
    status = error.response.status_code
    if status in (401, 403):
        text = f"{shown} refuses the password ({status})."
        return Finding(SUBJECT, Mark.FAILURE, text, "Correct PREFECT_API_AUTH_STRING (or PREFECT_API_KEY).")
    text = f"{shown} answers {status}: is that Prefect's API?"
    return Finding(SUBJECT, Mark.FAILURE, text, "Correct PREFECT_API_URL (it ends in /api), or see the server's log.")


def _no_answer(error: Exception, shown: str) -> Finding:
    text = f"No answer at {shown} ({in_short(error)}), so what is on it was not looked at."
    return Finding(SUBJECT, Mark.FAILURE, text, "Start the server, or correct PREFECT_API_URL.")


def _at(document: Mapping[str, Any], *path: str) -> Any:
    value: Any = document
    for key in path:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return value


def _duration(value: Any) -> timedelta:
    """A duration as seconds or in ISO 8601; none for a setting that the server does not have."""
    return TypeAdapter(timedelta).validate_python(value or 0)
