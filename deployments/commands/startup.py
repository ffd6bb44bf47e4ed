"""What `vibecheck up` starts, and in which order."""

import asyncio
import os

import httpx
from rich.console import Console

from deployments.commands.access import ENVIRONMENT, auth_string, make_sign_in, note_environment
from deployments.commands.processes import Children, StartFailed, free_port, wait_until
from deployments.server.settings import (
    WORKER_SETTINGS,
    client_environment,
    closed_server_settings,
    server_settings,
)
from flows.database.engine import database_shown
from flows.logs import configure_logging
from flows.settings import Settings, load_settings

SANDBOX_KEY = "ank_sandbox"
WORKER = "worker-"
SERVER_START_SECONDS = 120.0
SANDBOX_START_SECONDS = 30.0
HEALTH_PORT = 8080
HEALTH_START_SECONDS = 30.0


async def start(settings: Settings, port: int, children: Children, console: Console) -> Settings:
    """Start everything, and return the settings that the started processes use."""
    api_port = free_port(port)
    if api_port != port:
        console.print(f"[yellow]Port {port} is taken: the Prefect server uses {api_port}.")
    origin = f"http://127.0.0.1:{api_port}"
    api_url = f"{origin}/api"
    # The sandbox has a server of its own, as it has a database: the runs of one are no rows for the other's log.
    is_sandbox = not settings.has_asknews_credentials()
    home = settings.data_directory / ("sandbox-prefect" if is_sandbox else "prefect")
    auth = auth_string(settings.data_directory)
    environment = {**client_environment(api_url=api_url, home=home), "PREFECT_API_AUTH_STRING": auth}
    os.environ.update(environment)
    ui = settings.data_directory / "ui"

    console.print("Starting the Prefect server; the first start migrates its database …")
    server = await children.start(
        "prefect-server",
        *("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(api_port)),
        environment={
            **environment,
            **server_settings(),
            **closed_server_settings(origin=origin, auth_string=auth),
            "PREFECT_UI_STATIC_DIRECTORY": str(ui),
        },
    )
    if is_sandbox:
        settings = await _start_sandbox(settings, children, console)
    await wait_until(lambda: asyncio.ensure_future(_answers(f"{api_url}/health")), server, seconds=SERVER_START_SECONDS)

    # Only now: Prefect reads its environment when it is imported.
    from prefect.exceptions import PrefectException

    # What `apply` has to say, `up` says in sentences.
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}), to_prefect=False)
    try:
        health_url = await _start_pipeline(settings, children, console, environment)
    except (httpx.HTTPError, PrefectException) as error:
        problem = f"The Prefect server does not answer as it should: {type(error).__name__}: {error}"
        raise StartFailed(f"{problem}. Its log: {server.log}") from error
    _note_environment(settings)
    page = make_sign_in(settings.data_directory, ui, origin=origin)
    _print_addresses(console, settings, f"{page.as_uri()} (signs you in at {origin})", health_url)
    return settings


async def _start_pipeline(settings: Settings, children: Children, console: Console, environment: dict[str, str]) -> str:
    """Apply to the server that has been started, and start what runs on it. Return the health app's address."""
    from prefect import get_client

    from deployments.commands.apply import apply
    from deployments.commands.first_runs import start_first_runs, sweep_due_runs
    from deployments.server.work_pools import work_pool_names

    console.print("Applying: database, work pools, deployments …")
    await apply(settings)
    async with get_client() as client:
        await sweep_due_runs(client)
    for pool in work_pool_names():
        await children.start(
            f"{WORKER}{pool}",
            *("-m", "deployments", "worker", "--pool", pool),
            environment={**environment, **WORKER_SETTINGS},
        )
    health_url = await _start_health_app(children, environment, console)
    async with get_client() as client:
        await start_first_runs(client)
    return health_url


async def _start_health_app(children: Children, environment: dict[str, str], console: Console) -> str:
    port = free_port(HEALTH_PORT)
    if port != HEALTH_PORT:
        console.print(f"[yellow]Port {HEALTH_PORT} is taken: the status page uses {port}.")
    child = await children.start(
        "health", *("-m", "deployments", "health", "--host", "127.0.0.1", "--port", str(port)), environment=environment
    )
    url = f"http://127.0.0.1:{port}"
    await wait_until(lambda: asyncio.ensure_future(_answers(f"{url}/health")), child, seconds=HEALTH_START_SECONDS)
    return url


async def _start_sandbox(settings: Settings, children: Children, console: Console) -> Settings:
    if settings.database_url is not None or settings.database_block is not None:
        raise StartFailed(
            "A database is configured but no AskNews credentials are, and the sandbox's made-up news must not get into "
            "your database. Set ASKNEWS_API_KEY, or unset VIBECHECK_DATABASE_URL and VIBECHECK_DATABASE_BLOCK."
        )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    child = await children.start("sandbox", "-m", "deployments.sandbox", "--port", str(port), environment={})
    await wait_until(
        lambda: asyncio.ensure_future(_answers(f"{url}/openapi.json")), child, seconds=SANDBOX_START_SECONDS
    )
    console.print(
        "No ASKNEWS_API_KEY is set: using the AskNews [bold]sandbox[/bold], whose news is made up. "
        "Put your key into .env to poll the real API."
    )
    # The flows read their settings from the environment that the worker inherits from this process. A database of its
    # own, so that made-up news never mixes with real news.
    os.environ.update(
        ASKNEWS_API_URL=url,
        ASKNEWS_API_KEY=SANDBOX_KEY,
        VIBECHECK_REQUESTS_PER_SECOND="50",
        VIBECHECK_DATABASE_URL=f"sqlite+aiosqlite:///{settings.data_directory / 'sandbox.db'}",
    )
    load_settings.cache_clear()
    return load_settings()


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=2) as client:
            return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False


def _note_environment(settings: Settings) -> None:
    """Write what another terminal's commands need. Of the databases only the sandbox's: the others are in .env."""
    names = ["PREFECT_API_URL", "PREFECT_API_AUTH_STRING"]
    if settings.asknews_api_key is not None and settings.asknews_api_key.get_secret_value() == SANDBOX_KEY:
        names.append("VIBECHECK_DATABASE_URL")
    note_environment(settings.data_directory, {name: os.environ[name] for name in names})


def _print_addresses(console: Console, settings: Settings, ui: str, health_url: str) -> None:
    home = settings.data_directory
    for name, address in (
        ("Prefect UI", ui),
        ("Status page", health_url),
        ("Health", f"{health_url}/health/scheduler"),
        ("Database", database_shown(settings)),
        ("Logs", str(home / "logs")),
        ("Commands", ".venv/bin/vibecheck status"),
        ("Prefect's", f"source {home / ENVIRONMENT} && .venv/bin/prefect deployment ls"),
    ):
        console.print(f"{name:<12} {address}", soft_wrap=True, highlight=False)
    if settings.notification is None:
        console.print("Nobody is told of problems: set VIBECHECK_NOTIFICATION, see docs/monitoring.md.")
