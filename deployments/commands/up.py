"""`vibecheck up`: the whole pipeline on one machine, until Ctrl-C.

1. Take the data directory's lock, which every child process inherits: no second `up`, no forgotten child.
2. Start the Prefect server, and the AskNews sandbox if no credentials are set; wait until both answer.
3. Apply: database, work pools, deployments. Cancel the runs that were due while nothing ran here. Start the workers,
   the health app and one run of each job at once.
4. Note for other terminals which server and database these are, and show the jobs' last runs until Ctrl-C.
5. However that ends: drain the workers, so that running flows finish, then stop everything. A second Ctrl-C stops at
   once.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import httpx
from cyclopts import Parameter
from rich.console import Console

from deployments.commands.access import ENVIRONMENT, auth_string, forget_environment, make_sign_in, note_environment
from deployments.commands.processes import (
    Children,
    StartFailed,
    data_directory_lock,
    free_port,
    wait_until,
)
from deployments.parameters import GivenSettings, Port
from deployments.server.settings import (
    WORKER_SETTINGS,
    client_environment,
    closed_server_settings,
    server_settings,
)
from flows.database.engine import database_shown
from flows.logs import configure_logging
from flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

SANDBOX_KEY = "ank_sandbox"
WORKER = "worker-"
SERVER_START_SECONDS = 120.0
SANDBOX_START_SECONDS = 30.0
HEALTH_PORT = 8080
HEALTH_START_SECONDS = 30.0
STOP_SECONDS = 10.0


async def run_up(
    *,
    port: Annotated[
        Port, Parameter(help="Port of the Prefect server and its UI; another is taken if it is busy.")
    ] = 4200,
    settings: GivenSettings,
) -> int:
    """Run until Ctrl-C or SIGTERM. Return the command's exit code: 0 after a stop that was asked for, else 1."""
    console = Console()
    stop_requested = asyncio.Event()
    home = settings.data_directory
    with data_directory_lock(home) as descriptor:
        children = Children(home / "logs", inherited_descriptors=(descriptor,))
        _on_stop_signals(stop_requested, children, console)
        return await _run(settings, port, children, console, stop_requested)


async def _run(
    settings: Settings, port: int, children: Children, console: Console, stop_requested: asyncio.Event
) -> int:
    startup = asyncio.ensure_future(_start(settings, port, children, console))
    stop = asyncio.ensure_future(stop_requested.wait())
    try:
        async with drained_at_the_end(children, console):
            await asyncio.wait([startup, stop], return_when=asyncio.FIRST_COMPLETED)
            if not startup.done():
                startup.cancel()
                return 0
            settings = startup.result()
            from deployments.commands.live import show_jobs

            failed = await show_jobs(settings, children, console, stop_requested)
            return 1 if failed else 0
    finally:
        stop.cancel()
        forget_environment(settings.data_directory)


@asynccontextmanager
async def drained_at_the_end(children: Children, console: Console) -> AsyncGenerator[None]:
    """However the block ends, let the workers finish their runs, and stop every process."""
    try:
        yield
    finally:
        await _drain(children, console)
        for child in reversed(children.running):
            await child.stop(wait_seconds=STOP_SECONDS)
        console.print("Stopped. `make up` goes on from here.")


async def _start(settings: Settings, port: int, children: Children, console: Console) -> Settings:
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
        await _start_runs(client)
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


async def sweep_due_runs(client: "PrefectClient") -> None:
    """Cancel what is due already: one such run could take its job's slot, only to find that it is late.

    However young it is: the runs that `up` starts by itself take its place.
    """
    from flows.monitoring.jobs.deployments import read_live_jobs
    from flows.monitoring.prefect_runs import JobRuns, server_now
    from flows.monitoring.reconcile.late_runs import sweep_late_runs

    now = await server_now(client)
    live = await read_live_jobs(client, now)
    jobs = {job.deployment_id: job.job_name for job in live if job.is_supervised}
    await sweep_late_runs(JobRuns(client, jobs), now, late_after=timedelta(0))


async def _start_runs(client: "PrefectClient") -> None:
    """One run of each supervised job at once, through its worker; their schedules go on beside it."""
    from prefect.deployments import arun_deployment

    from flows.monitoring.jobs.deployments import read_live_jobs
    from flows.monitoring.prefect_runs import server_now

    for job in await read_live_jobs(client, await server_now(client)):
        if job.is_supervised:
            await arun_deployment(job.full_name, timeout=0, as_subflow=False, tags=["start-up"])


async def _drain(children: Children, console: Console) -> None:
    """Tell the workers to take no further run, and wait for the runs that they have."""
    workers = [child for child in children.running if child.name.startswith(WORKER) and child.is_running]
    if not workers:
        return
    for worker in workers:
        worker.signal_process(signal.SIGTERM)
    console.print("Letting running flows finish; Ctrl-C again stops at once …")
    for worker in workers:
        await worker.process.wait()


def _on_stop_signals(stop_requested: asyncio.Event, children: Children, console: Console) -> None:
    """The first Ctrl-C or SIGTERM asks to stop; the second ends every process at once."""

    def stop() -> None:
        if stop_requested.is_set():
            children.kill()
            console.print("[yellow]Stopped at once: running flows were cut off; the next run completes their work.")
            os._exit(1)
        stop_requested.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
