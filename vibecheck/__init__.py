"""What a flow of any Prefect project needs of the monitoring, whatever packages that project has.

A checkout has the code in `flows/` and `deployments/`. A wheel has it all inside this package (`hatch_build.py`).
"""

from typing import TYPE_CHECKING, Any

import flows.monitoring as _monitoring

if TYPE_CHECKING:
    from flows.monitoring import MisfireGrace, expectation_tags, misfire, monitored, record, run_name

__all__ = ["MisfireGrace", "expectation_tags", "misfire", "monitored", "record", "run_name"]


def __getattr__(name: str) -> Any:
    # As there, imported when it is asked for: importing Prefect takes a second.
    return getattr(_monitoring, name)
