"""The healthchecks of docker-compose.yml, cheap, since they run every few seconds.

    python -m deployments.containers.healthcheck url http://127.0.0.1:4200/api/ready
    python -m deployments.containers.healthcheck polled /tmp/polled --within 60
    python -m deployments.containers.healthcheck services --within 30

`url` wants a successful answer. `polled` wants a file that was touched lately: the worker touches it at each poll that
the server has answered. `services` wants a fresh heartbeat of this container's own background services in Redis, at
PREFECT_SERVER_DOCKET_URL. Prints why not, and ends with 1.
"""

import argparse
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 5.0
# Where docket, the task runner inside Prefect's services, notes when each of its workers was last alive.
HEARTBEATS = "prefect:workers"


class Unhealthy(Exception):
    """The service is not well; the text says why."""


def check_url(url: str) -> None:
    """Raise Unhealthy unless `url` answers with success within 5 seconds."""
    try:
        urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()  # noqa: S310  # the address is the compose file's
    except (urllib.error.URLError, OSError) as error:
        raise Unhealthy(f"{url}: {error}") from None


def check_polled(path: Path, *, within: float, now: float) -> None:
    """Raise Unhealthy unless `path` was touched in the `within` seconds before `now`."""
    try:
        age = now - path.stat().st_mtime
    except FileNotFoundError:
        raise Unhealthy("The worker has not polled yet.") from None
    if age > within:
        raise Unhealthy(f"The worker's last answered poll was {age:.0f} s ago.")


def check_services(redis_url: str, *, host: str, within: float, now: float) -> None:
    """Raise Unhealthy unless the services on `host` have reported to Redis in the `within` seconds before `now`."""
    from redis import Redis, RedisError

    client_class: Any = Redis  # partially untyped
    try:
        with client_class.from_url(
            redis_url, protocol=2, socket_timeout=ANSWER_SECONDS, decode_responses=True
        ) as redis:
            heartbeats: list[tuple[str, float]] = redis.zrange(HEARTBEATS, 0, -1, withscores=True)
    except RedisError as error:
        raise Unhealthy(f"Redis: {error}") from None
    newest = max((at for worker, at in heartbeats if worker.startswith(f"{host}#")), default=None)
    if newest is None:
        raise Unhealthy("The background services have not reported yet.")
    if now - newest > within:
        raise Unhealthy(f"The background services last reported {now - newest:.0f} s ago.")


def main(arguments: list[str]) -> int:
    """Run the check that `arguments` name. Return the exit code."""
    parser = argparse.ArgumentParser(prog="container_health")
    commands = parser.add_subparsers(dest="check", required=True)
    commands.add_parser("url").add_argument("url")
    polled = commands.add_parser("polled")
    polled.add_argument("path", type=Path)
    services = commands.add_parser("services")
    for command in (polled, services):
        command.add_argument("--within", type=float, required=True, metavar="SECONDS")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.check == "url":
            check_url(chosen.url)
        elif chosen.check == "polled":
            check_polled(chosen.path, within=chosen.within, now=time.time())
        else:
            check_services(
                os.environ["PREFECT_SERVER_DOCKET_URL"],
                host=socket.gethostname(),
                within=chosen.within,
                now=time.time(),
            )
    except Unhealthy as reason:
        print(reason)  # noqa: T201  # docker keeps a healthcheck's output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
