"""`vibecheck sandbox`: serve the sandbox until it is interrupted."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.parameters import PortOrAny
from deployments.sandbox.app import create_app
from deployments.sandbox.server import address_of, listen, make_server
from flows.patient_server import PatientServer


def run_sandbox(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[PortOrAny, Parameter(help="Port to listen on, 0 for any free one.")] = 0,
    port_file: Annotated[Path | None, Parameter(help="File to write the port to, once connections are taken.")] = None,
) -> int:
    """Serve made-up news by the API that the polls ask, for demonstration and tests."""
    with listen(host, port) as listener:
        address = address_of(listener)
        sys.stdout.write(f"AskNews sandbox at {address} (any API key that begins with ank_)\n")
        sys.stdout.flush()
        if port_file is not None:
            # Renamed into place, so that a reader never sees half of it.
            unfinished = port_file.with_name(f"{port_file.name}.unfinished")
            unfinished.write_text(f"{listener.getsockname()[1]}\n", encoding="utf-8")
            unfinished.replace(port_file)
        try:
            make_server(create_app(), PatientServer).run(sockets=[listener])
        except KeyboardInterrupt:
            # uvicorn has stopped in order and passes Ctrl-C on.
            return 0
    return 0
