"""The monitoring: a log of every run and tick of any Prefect deployment, a verdict on each job, and who is told.

What a flow needs of it is here. Each name is imported when it is asked for, since importing Prefect takes a second, and
the readers of the log do without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.monitoring.jobs.expectation_tags import expectation_tags
    from flows.monitoring.log.hooks import monitored
    from flows.monitoring.log.misfire import MisfireGrace, misfire
    from flows.monitoring.log.naming import run_name
    from flows.monitoring.log.record import record

__all__ = ["MisfireGrace", "expectation_tags", "misfire", "monitored", "record", "run_name"]

_HOMES = {
    "MisfireGrace": "log.misfire",
    "expectation_tags": "jobs.expectation_tags",
    "misfire": "log.misfire",
    "monitored": "log.hooks",
    "record": "log.record",
    "run_name": "log.naming",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
