"""The settings that a Prefect server and its workers need for this pipeline, and why. `up` and the tests use them.

And the one setting that every command but `up` needs: which server.
"""

from pathlib import Path

# Intervals are in ISO 8601: the server reads a bare number of some of these wrongly, and does not say so.
SERVER_SETTINGS = {
    # In memory, the default, a restart of the server leaks the slot of a run that was going: CANCEL_NEW then cancels
    # every later run of that job, silently and for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # A run is late after the same 60 seconds that misfire_grace_seconds allows; the automation then cancels it.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "PT60S",
    # The overdue timers survive a server that was away for up to a day.
    "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": "P1D",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
WORKER_SETTINGS = {
    # Look for due runs every 5 seconds instead of 10.
    "PREFECT_WORKER_QUERY_SECONDS": "5",
}


def closed_server_settings(*, origin: str, auth_string: str) -> dict[str, str]:
    """What closes the server at `origin` to the pages of other web sites, which a browser here may show.

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
    """What a process needs to talk to the server at `api_url`, with Prefect's own files in `home`."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(home),
        # Without this, a command that cannot reach the server would start a private one and show an empty world.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }


class NoServer(Exception):
    """Nothing says which Prefect server is meant; the text says what to set."""


def require_server() -> None:
    """Raise NoServer unless PREFECT_API_URL, or Prefect's profile, names a server.

    Without one Prefect starts a private server, and a command would act on its empty world.
    """
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        raise NoServer(
            "PREFECT_API_URL is not set, and no `vibecheck up` is running here: set it to your server's address."
        )
