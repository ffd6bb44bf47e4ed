"""The `vibecheck` command. Each subcommand imports what it needs, so that `--help` answers at once.

The settings come first: they may name the server of a running `up`, and Prefect reads that when it is imported.
"""

import asyncio
import sys
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators
from pydantic import ValidationError

from flows.settings import PROJECT_ROOT, Settings, load_settings

app = App(
    name="vibecheck",
    help="VibeCheck's pipeline: polls AskNews as a Prefect deployment, and accounts for every tick.",
    version=lambda: version("vibecheck-pipeline"),
    version_flags=["--version"],
)

_PORT = validators.Number(gte=1, lte=65_535)
_PORT_OR_ANY = validators.Number(gte=0, lte=65_535)
_SECONDS = validators.Number(gte=0, lte=31_536_000)


@app.command
def up(
    *,
    port: Annotated[
        int, Parameter(help="Port of the Prefect server and its UI; another is taken if it is busy.", validator=_PORT)
    ] = 4200,
) -> int:
    """Run the whole pipeline on this machine, with embedded defaults, until Ctrl-C."""
    settings = _settings()
    from deployments.commands.up import run_up

    return asyncio.run(run_up(settings, port=port))


@app.command
def apply() -> int:
    """Migrate the database and bring the Prefect server at PREFECT_API_URL to what this checkout describes."""
    settings = _settings_with_server()
    from deployments.commands.apply import run_apply

    return asyncio.run(run_apply(settings))


@app.command
def worker(
    *,
    pool: Annotated[str, Parameter(help="Work pool whose runs it executes.")],
    limit: Annotated[
        int,
        Parameter(help="Most runs to execute at a time; one needs about 100 MB.", validator=validators.Number(gte=1)),
    ] = 4,
    name: Annotated[str | None, Parameter(help="Its name in Prefect. Default: host and process.")] = None,
    polled_file: Annotated[
        Path | None, Parameter(help="File to touch at each poll that the server answered, for a healthcheck.")
    ] = None,
) -> int:
    """Execute runs as processes. SIGTERM drains it: no further run starts, and those that are going end first."""
    settings = _settings_with_server()
    from deployments.commands.worker import run_worker

    return asyncio.run(run_worker(settings, pool=pool, limit=limit, name=name, polled_file=polled_file))


@app.command
def drain(
    *,
    timeout: Annotated[float, Parameter(help="Seconds to wait for the running flows.", validator=_SECONDS)] = 900.0,
) -> int:
    """Pause the work pools, and wait until no run is going: for maintenance of the server or the database."""
    settings = _settings_with_server()
    from deployments.commands.drain import run_drain

    return asyncio.run(run_drain(settings, timeout_seconds=timeout))


@app.command
def silence(
    jobs: Annotated[list[str] | None, Parameter(help="The jobs; without any, list what is silenced.")] = None,
    *,
    tag: Annotated[str | None, Parameter(help="The jobs whose deployment has this tag, as well.")] = None,
    duration: Annotated[timedelta | None, Parameter(name="--for", help="For how long, such as 90m, 2h or 3d.")] = None,
    until_recovery: Annotated[bool, Parameter(help="Acknowledge: until each is healthy again.", negative="")] = False,
    reason: Annotated[str, Parameter(help="Why, for those who wonder.")] = "",
    lift: Annotated[bool, Parameter(help="Tell people of these jobs again.", negative="")] = False,
) -> int:
    """Send no messages about some jobs for a time; verdicts, rows and the endpoint go on. Alone: list the silences."""
    from deployments.commands.silence import run_silence

    return asyncio.run(
        run_silence(
            _settings(),
            jobs or [],
            tag=tag,
            duration=duration,
            until_recovery=until_recovery,
            reason=reason,
            lifting=lift,
        )
    )


@app.command
def resume() -> int:
    """Let the work pools start runs again, after `drain`."""
    settings = _settings_with_server()
    from deployments.commands.drain import run_resume

    return asyncio.run(run_resume(settings))


@app.command
def verify(
    *,
    since: Annotated[str, Parameter(help="From when on: a duration before now (90m, 24h, 7d) or an ISO time.")] = "24h",
    until: Annotated[str | None, Parameter(help="Until when; default: now.")] = None,
    grace: Annotated[
        float, Parameter(help="Seconds for which what is young may still be open.", validator=_SECONDS)
    ] = 600.0,
    json: Annotated[bool, Parameter(help="Print every tick as JSON.")] = False,
) -> int:
    """Say what happened to each tick of each job. Exit code 0: all accounted for; 1: not; 2: could not tell."""
    settings = _settings()
    from deployments.commands.verify import run_verify

    return asyncio.run(run_verify(settings, since=since, until=until, grace_seconds=grace, as_json=json))


@app.command
def status(
    *,
    json: Annotated[bool, Parameter(help="Print the document of `GET /health/scheduler`.")] = False,
    watch: Annotated[bool, Parameter(help="Look again every 2 seconds, until Ctrl-C.")] = False,
) -> int:
    """Say whether the jobs do what is expected. Exit code 0: all healthy; 1: not; 2: could not tell."""
    settings = _settings()
    from deployments.commands.status import run_status

    return asyncio.run(run_status(settings, as_json=json, watch=watch))


@app.command
def health(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on, 0 for any free one.", validator=_PORT_OR_ANY)] = 8080,
) -> int:
    """Serve the status page, `GET /health/scheduler` (200 or 503) and `GET /health`, from the database alone."""
    from flows.monitoring.web.server import serve

    return serve(_settings(), host=host, port=port)


@app.command
def import_log(
    *,
    source: Annotated[
        str,
        Parameter(
            name=["--from"],
            env_var="OLD_DATABASE_URL",
            help="SQLAlchemy address of the old database (asyncpg or aiosqlite).",
        ),
    ],
) -> int:
    """Import the execution log of the APScheduler service that this pipeline replaces. Doing it again is harmless."""
    settings = _settings()
    from deployments.commands.import_log import run_import

    return asyncio.run(run_import(settings, source_url=source))


@app.command
def sandbox(
    *,
    port: Annotated[int, Parameter(help="Port to listen on, 0 for any free one.", validator=_PORT_OR_ANY)] = 0,
) -> int:
    """Serve an AskNews-compatible API with made-up news, for demonstration and tests."""
    from deployments.sandbox.__main__ import serve

    return serve(port=port)


def _settings() -> Settings:
    """The settings, those of a running `up` among them; what others could read of them is said."""
    from deployments.commands.access import join_running_up, readable_by_others

    try:
        settings = load_settings()
        if join_running_up(settings.data_directory):
            load_settings.cache_clear()
            settings = load_settings()
    except ValidationError as error:
        lines = [f"{_variable(str(problem['loc'][0]))}: {problem['msg']}" for problem in error.errors()]
        raise SystemExit("The settings are not usable:\n  " + "\n  ".join(lines)) from None
    for sentence in readable_by_others([PROJECT_ROOT / ".env", settings.data_directory]):
        print(sentence, file=sys.stderr)  # noqa: T201  # before any logging; stdout may be JSON
    return settings


def _settings_with_server() -> Settings:
    """The settings, for a command that acts on a Prefect server."""
    from deployments.server.settings import NoServer, require_server

    settings = _settings()
    try:
        require_server()
    except NoServer as error:
        raise SystemExit(str(error)) from None
    return settings


def _variable(location: str) -> str:
    """The environment variable of a validation problem, which names the field or, where there is one, its alias."""
    is_field = location in Settings.model_fields
    return f"{Settings.model_config.get('env_prefix', '')}{location}".upper() if is_field else location


def main() -> None:
    """Entry point of the `vibecheck` command."""
    sys.exit(app())


if __name__ == "__main__":
    main()
