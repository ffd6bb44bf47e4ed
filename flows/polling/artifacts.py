"""What a polling run shows in Prefect: a table of what it stored, and a progress bar while it catches up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact

from flows.polling.statistics import Statistics

# Prefect's client repeats a request for minutes while its server is away.
ARTIFACT_SECONDS = 10.0

logger = structlog.stdlib.get_logger()


async def publish_table(job_name: str, statistics: Statistics) -> None:
    """Publish how many records mention each entity, under the run's summary. Raises nothing, and ends soon."""
    rows = [{"entity": name, "records": count} for name, count in statistics.by_entity.most_common()]
    async with _only_a_picture():
        await acreate_table_artifact(
            table=rows or [{"entity": "(none)", "records": 0}],
            key=job_name.replace("_", "-"),
            description=statistics.summary(),
        )


@dataclass
class CatchUpProgress:
    """A progress bar in Prefect for a catch-up of several windows; a poll of one window shows none."""

    description: str
    _artifact: Any = None

    @property
    def is_shown(self) -> bool:
        """Whether the bar was made."""
        return self._artifact is not None

    async def show(self, percent: float) -> None:
        """Make the bar at its first call, move it at each further one."""
        async with _only_a_picture():
            if self._artifact is None:
                self._artifact = await acreate_progress_artifact(progress=percent, description=self.description)
            else:
                await aupdate_progress_artifact(artifact_id=self._artifact, progress=percent)


@asynccontextmanager
async def _only_a_picture() -> AsyncGenerator[None]:
    """Bound what is inside, and log its error: a picture of the data must neither fail nor hold up the run."""
    try:
        async with asyncio.timeout(ARTIFACT_SECONDS):
            yield
    except Exception as error:  # noqa: BLE001  # as the docstring says
        logger.warning("artifact_failed", error_type=type(error).__name__, error=str(error))
