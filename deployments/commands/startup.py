"""What `vibecheck up` starts. What need not wait for something else starts beside it.

1. Check what can be known before anything is started, and choose the ports. A database of one's own is migrated here.
2. Start the Prefect server, and the AskNews sandbox if no credentials are set. While they start, migrate the embedded
   database.
3. Once the server answers: make the work pools, cancel the runs that were due while nothing ran here, and start the
   workers. While these start, deploy.
4. Start the jobs' first runs, and beside them the health app; then apply the rest.
"""

import os
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.text import Text

from deployments.commands.data_directory import ENVIRONMENT, auth_string, make_sign_in, note_environment
from deployments.commands.ports import PREFECT, SANDBOX, STATUS_PAGE, Ports
from deployments.commands.processes import Child, Children, StartFailed, wait_until
from deployments.commands.tracked_entities import tracked_entities
from deployments.server.described import check_described, work_pool_names
from deployments.server.environments import WORKER_SETTINGS, client_environment, closed_server_settings, server_settings
from flows.database.engine import database_shown, opened_engine
from flows.logs import configure_logging
from flows.monitoring.alarms.receivers import check_receivers, receivers_of
from flows.monitoring.verdicts.report import Report
from flows.settings import SANDBOX_KEY, Settings, load_settings

WORKER = "worker-"
SERVER_START_SECONDS = 120.0
SANDBOX_START_SECONDS = 60.0
HEALTH_START_SECONDS = 60.0


@dataclass(frozen=True)
class WantedPorts:
    """The ports that somebody asked for; None: those of the last time."""

    prefect: int | None = None
    status_page: int | None = None


@dataclass(frozen=True)
class Started:
    """What has been started: the settings that its processes use, and what the database held before."""

    settings: Settings
    before: Report | None


async def start(settings: Settings, wanted: WantedPorts, children: Children, console: Console) -> Started:
    """Start everything. Raises CommandFailed, DatabaseUnavailable or InvalidReceiver."""
    check_receivers(receivers_of(settings).values())
    check_described()
    tracked_entities()
    is_sandbox = not settings.has_asknews_credentials()
    if is_sandbox:
        _refuse_database(settings)
    directory = settings.data_directory
    ports = Ports(directory)
    port = _choose(ports, PREFECT, wanted.prefect, console)
    origin = f"http://127.0.0.1:{port}"
    page_port = _choose(ports, STATUS_PAGE, wanted.status_page, console)
    # The sandbox has a server of its own, as it has a database: the runs of one do not belong in the other's log.
    home = directory / ("sandbox-prefect" if is_sandbox else "prefect")
    auth = auth_string(directory)
    environment = {
        **client_environment(api_url=f"{origin}/api", home=home),
        "PREFECT_API_AUTH_STRING": auth,
    }
    # Prefect reads it when it is imported, so nothing that imports Prefect is imported above.
    os.environ.update(environment)

    has_own_database = settings.database_url is not None
    if has_own_database:
        await _prepare_database(settings)
    console.print("Starting the Prefect server; the first start migrates its database …")
    server = await children.start(
        "prefect-server",
        *("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
        environment={
            **server_settings(),
            **closed_server_settings(origin=origin, auth_string=auth),
            "PREFECT_UI_STATIC_DIRECTORY": str(directory / "ui"),
        },
    )
    sandbox = None
    if is_sandbox:
        # Beside the server's, where nothing else takes it before it is bound.
        sandbox_port, _ = ports.choose(SANDBOX, port + 1)
        settings, sandbox = await _start_sandbox(settings, children, sandbox_port, console)
    if not has_own_database:
        await _prepare_database(settings)

    from prefect.exceptions import PrefectException

    from deployments.commands.status import Seen, look

    async with opened_engine(settings) as engine:
        before = await look(engine, settings)
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            await wait_until(lambda: _answers(http, f"{origin}/api/health"), server, seconds=SERVER_START_SECONDS)
            health_url = await _start_pipeline(settings, children, http, sandbox, page_port, console)
    except (httpx.HTTPError, PrefectException) as error:
        problem = f"The Prefect server does not answer as it should: {type(error).__name__}: {error}"
        raise StartFailed(f"{problem}. Its log: {server.log}") from error
    _note_environment(settings)
    page = make_sign_in(directory, directory / "ui", origin=origin)
    _print_addresses(console, settings, f"{page.as_uri()}\n{'':<12} signs you in at {origin}", health_url)
    return Started(settings, before.report if isinstance(before, Seen) else None)


async def _prepare_database(settings: Settings) -> None:
    """Migrate and seed the database. This imports Prefect, which takes a second or two."""
    from deployments.commands.apply import prepare_database

    # What `apply` has to say, `up` says in sentences.
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}), to_prefect=False)
    await prepare_database(settings)


async def _start_pipeline(
    settings: Settings,
    children: Children,
    http: httpx.AsyncClient,
    sandbox: "_Served | None",
    page_port: int,
    console: Console,
) -> str:
    """Start on the server, which answers, what runs there. Return the health app's address."""
    from prefect import get_client

    from deployments.commands.apply import deploy, set_up_monitoring
    from deployments.commands.first_runs import start_first_runs, sweep_due_runs
    from deployments.server.work_pools import make_work_pools

    async with get_client() as client:
        await make_work_pools(client)
        await sweep_due_runs(client)
        for pool in work_pool_names():
            arguments = ("-m", "deployments", "worker", "--pool", pool)
            await children.start(f"{WORKER}{pool}", *arguments, environment=WORKER_SETTINGS)
        await deploy()
        if sandbox is not None:
            await sandbox.wait(http, seconds=SANDBOX_START_SECONDS)
        for refusal in await start_first_runs(client):
            console.print(Text(refusal, style="yellow"), soft_wrap=True)
        health = await _start_health_app(children, page_port)
        await set_up_monitoring(client, settings)
        await health.wait(http, seconds=HEALTH_START_SECONDS)
    return health.url


@dataclass(frozen=True)
class _Served:
    """A process that serves HTTP, and its address."""

    child: Child
    url: str
    path: str

    async def wait(self, http: httpx.AsyncClient, *, seconds: float) -> None:
        """Wait until it answers. Raises StartFailed."""
        await wait_until(lambda: _answers(http, f"{self.url}{self.path}"), self.child, seconds=seconds)


async def _start_health_app(children: Children, port: int) -> _Served:
    arguments = ("-m", "deployments", "health", "--host", "127.0.0.1", "--port", str(port))
    child = await children.start("health", *arguments, environment={})
    return _Served(child, f"http://127.0.0.1:{port}", "/health")


async def _start_sandbox(
    settings: Settings, children: Children, port: int, console: Console
) -> tuple[Settings, _Served]:
    """Start it, and return the settings of those who poll it."""
    url = f"http://127.0.0.1:{port}"
    child = await children.start("sandbox", "-m", "deployments", "sandbox", "--port", str(port), environment={})
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
    return load_settings(), _Served(child, url, "/openapi.json")


def _refuse_database(settings: Settings) -> None:
    if settings.database_url is not None or settings.database_block is not None:
        raise StartFailed(
            "A database is configured but no AskNews credentials are, and the sandbox's made-up news must not get into "
            "your database. Set ASKNEWS_API_KEY, or unset VIBECHECK_DATABASE_URL and VIBECHECK_DATABASE_BLOCK."
        )


def _choose(ports: Ports, what: str, wanted: int | None, console: Console) -> int:
    port, first = ports.choose(what, wanted)
    if port != first:
        console.print(f"[yellow]Port {first} is taken: the {what} uses {port}.")
    return port


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False


def _note_environment(settings: Settings) -> None:
    """Write what another terminal's commands need. Of the databases only the sandbox's: the others are in .env."""
    names = ["PREFECT_API_URL", "PREFECT_API_AUTH_STRING"]
    if settings.is_sandbox():
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
        ("Prefect's", f"source {home / ENVIRONMENT}\n{'':<12} .venv/bin/prefect deployment ls"),
    ):
        console.print(f"{name:<12} {address}", soft_wrap=True, highlight=False)
    if settings.notification is None:
        console.print("Nobody is told of problems: set VIBECHECK_NOTIFICATION, see docs/monitoring.md.")
