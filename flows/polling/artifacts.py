"""What a polling run shows in Prefect: a table of what it stored, and a progress bar while it catches up."""

from dataclasses import dataclass
from typing import Any

import structlog
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact

from flows.polling.statistics import Statistics

logger = structlog.stdlib.get_logger()


async def publish_table(job_name: str, statistics: Statistics) -> None:
    """Publish how many records mention each entity, under the run's summary. Raises nothing."""
    rows = [{"entity": name, "records": count} for name, count in statistics.by_entity.most_common()]
    try:
        await acreate_table_artifact(
            table=rows or [{"entity": "(none)", "records": 0}],
            key=job_name.replace("_", "-"),
            description=statistics.summary(),
        )
    except Exception as error:  # noqa: BLE001  # the data is committed: a picture of it must not fail the run
        logger.warning("artifact_failed", error_type=type(error).__name__, error=str(error))


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
        try:
            if self._artifact is None:
                self._artifact = await acreate_progress_artifact(progress=percent, description=self.description)
            else:
                await aupdate_progress_artifact(artifact_id=self._artifact, progress=percent)
        except Exception as error:  # noqa: BLE001  # a progress bar must not fail the work that it shows
            logger.warning("artifact_failed", error_type=type(error).__name__, error=str(error))
