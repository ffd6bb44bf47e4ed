"""`vibecheck health`: what monitors and people ask over HTTP."""

from typing import Annotated

from cyclopts import Parameter

from deployments.parameters import GivenSettings, PortOrAny
from flows.monitoring.web.server import serve


def run_health(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[PortOrAny, Parameter(help="Port to listen on, 0 for any free one.")] = 8080,
    settings: GivenSettings,
) -> int:
    """Serve the status page, `GET /health/scheduler` (200 or 503) and `GET /health`, from the database alone."""
    return serve(settings, host=host, port=port)
