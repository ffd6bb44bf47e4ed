"""The storm of `make chaos`, planned and carried out by the same driver, over containers.

A seed draws it, which is in SEED or printed, and it lasts for MINUTES.
"""

import asyncio
import calendar
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from tests.chaos.plan import Disturbance, Planned, Undo, break_out, drawn
from tests.drill.stack import DrillFailed, Stack, expect, say, wait

FAULT = "a fault of AskNews"
# What hides no article, and lets none be rejected: those are for `make chaos`, which knows what is to become of them.
FAULTS = (
    *("rate_limited", "service_failed", "not_now", "proxy_refuses", "gateway_html", "malformed_json", "wrong_shape"),
    *("slow", "drips", "stalled", "reset", "truncated"),
)
# A container takes seconds to stop and start.
APART_SECONDS = 24
# Until Prefect's services have found a Redis again that was away.
HEALED_SECONDS = 600
# A lost run is given up, and another one finds what it had not stored.
STORED_SECONDS = 900
# The first poll reaches back for a day.
BEFORE_SECONDS = 20 * 3600


def break_loose(stack: Stack) -> None:
    """Let a storm pass over the containers. Raises DrillFailed if an article that was offered is not stored."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1000))
    minutes = float(os.environ.get("MINUTES") or 5)
    say(f"  SEED={seed} MINUTES={minutes:g}")
    kinds = [*DISTURBANCES, *[FAULT] * (len(DISTURBANCES) - 2)]
    planned = drawn(random.Random(seed), 60 * minutes, kinds, APART_SECONDS)  # noqa: S311  # nothing here is secret
    try:
        asyncio.run(break_out(stack, DISTURBANCES, planned, lambda text: say(f"  {text}")))
    except ExceptionGroup as failures:
        raise DrillFailed("; ".join(map(str, failures.exceptions))) from None
    say("  calm")
    wait(lambda: _has_calmed(stack), HEALED_SECONDS, "every container to be healthy again")
    until = int(time.time())
    with suppress(DrillFailed):
        wait(lambda: not _missing(stack, until), STORED_SECONDS, "every article that was offered", every=15)
    expect(not (missing := _missing(stack, until)), f"These articles were offered and are not stored: {missing}")
    stormy = [each for each in _offered(stack, until) if each["visible_at"] > until - 60 * minutes]
    say(f"  every article is stored, {len(stormy)} of them offered in the storm")


def _has_calmed(stack: Stack) -> bool:
    """Whether AskNews is there, and well by now, and so is every container."""
    with suppress(DrillFailed):  # it may have been started just now
        stack.ask_sandbox("DELETE", "faults")
        return not stack.unhealthy()
    return False


def _missing(stack: Stack, until: int) -> list[str]:
    """The titles of what was offered until then, and is not stored."""
    stored = set(stack.sql("vibecheck", "SELECT article_id FROM articles"))
    return [each["title"] for each in _offered(stack, until) if each["article_id"] not in stored]


def _offered(stack: Stack, until: int) -> list[dict[str, Any]]:
    """The articles that the polls have to find: those of the hours before the start as well, which are the first's."""
    started = calendar.timegm(time.strptime(stack.started_at, "%Y-%m-%dT%H:%M:%SZ"))
    window = f"start_timestamp={started - BEFORE_SECONDS}&end_timestamp={until}"
    offered = json.loads(stack.ask_sandbox("GET", f"articles?{window}"))
    return [each for each in offered if each["mentions"] and each["visible_at"] <= until]


def _struck(command: str, undo: str | None) -> Callable[[Stack, str, Planned], Awaitable[tuple[str, Undo]]]:
    """Do `docker command` with a service's container, and then `docker undo`."""

    async def do(stack: Stack, service: str, _event: Planned) -> tuple[str, Undo]:
        container = await asyncio.to_thread(stack.container, service)
        await asyncio.to_thread(stack.docker, command, container)
        return service, partial(stack.docker, undo, container) if undo else None

    return do


async def _off_the_network(stack: Stack, service: str, _event: Planned) -> tuple[str, Undo]:
    container, network = stack.container(service), f"{stack.environment['COMPOSE_PROJECT_NAME']}_default"
    await asyncio.to_thread(stack.docker, "network", "disconnect", network, container)
    return service, partial(stack.docker, "network", "connect", "--alias", service, network, container)


async def _fault(stack: Stack, _target: str, event: Planned) -> tuple[str, Undo]:
    fault = {
        "kind": event.of(FAULTS),
        "path": event.of(["/v1/news/search", "/v1/news/search", "/v1/stories"], 3),
        "times": event.of([1, 2, 4, 8], 4),
        "seconds": 10,
        "retry_after": 2,
    }
    with suppress(DrillFailed):  # as above
        await asyncio.to_thread(stack.ask_sandbox, "POST", "faults", [fault])
    return f"{fault['kind']}, {fault['times']} times, at {fault['path']}", None


WORKERS = ["worker", "worker-status"]
DISTURBANCES: dict[str, Disturbance[Stack]] = {
    FAULT: Disturbance(["sandbox"], _fault),
    "AskNews is killed": Disturbance(["sandbox"], _struck("kill", "start")),
    "a worker is killed": Disturbance(WORKERS, _struck("kill", "start")),
    "a worker is frozen": Disturbance(WORKERS, _struck("pause", "unpause")),
    "Prefect is killed": Disturbance(["server", "services"], _struck("kill", "start")),
    "PostgreSQL is killed": Disturbance(["postgres"], _struck("kill", "start")),
    "PostgreSQL restarts": Disturbance(["postgres"], _struck("restart", None)),
    "PostgreSQL is frozen": Disturbance(["postgres"], _struck("pause", "unpause")),
    "Redis is off the network": Disturbance(["redis"], _off_the_network),
}
