"""The settings that a Prefect server and its workers need for this pipeline, and why. `up` and the tests use them.

And the one setting that every command but `up` needs: which server.
"""

from pathlib import Path

from dotenv import dotenv_values

from deployments.failures import CommandFailed

SERVER_FILE = Path(__file__).with_name("prefect-server.env")


def server_settings() -> dict[str, str]:
    """Return what a Prefect server needs; the file says why."""
    return {name: value for name, value in dotenv_values(SERVER_FILE).items() if value is not None}


WORKER_SETTINGS = {
    # Look for due runs every 5 seconds instead of 10.
    "PREFECT_WORKER_QUERY_SECONDS": "5",
}


def closed_server_settings(*, origin: str, auth_string: str) -> dict[str, str]:
    """Return what closes the server at `origin` to the pages of other web sites, which a browser here may show.

    Prefect's defaults let any page make a deployment whose command the worker executes: every origin is allowed, every
    Host header is taken (so that a name of the page's own may point here), and nobody signs in.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": auth_string,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
        # The UI asks where it was found, so that it works at `localhost` too.
        "PREFECT_SERVER_UI_API_URL": "/api",
    }


def client_environment(*, api_url: str, home: Path) -> dict[str, str]:
    """Return what a process needs to talk to the server at `api_url`, with Prefect's own files in `home`."""
    return {
        "PREFECT_API_URL": api_url,
        # For the status page, which otherwise knows nothing of Prefect: it links to the runs.
        "PREFECT_UI_URL": api_url.removesuffix("/api"),
        "PREFECT_HOME": str(home),
        # Our servers collect no usage data; without this, the client would say that Prefect does.
        "DO_NOT_TRACK": "1",
        # Without this, a command that cannot reach the server would start a private one and show an empty world.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }


def require_server() -> None:
    """Raise CommandFailed unless PREFECT_API_URL, or Prefect's profile, names a server.

    Without one Prefect starts a private server, and a command would act on its empty world.
    """
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        raise CommandFailed(
            "PREFECT_API_URL is not set, and no `vibecheck up` is running here: set it to your server's address."
        )
