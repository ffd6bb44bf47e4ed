"""What Prefect's server knows of the jobs' flow runs, read in pages. A job's runs are those of its deployment."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException

from flows.monitoring.paging import PAGE, pages

TERMINAL = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]

T = TypeVar("T")

logger = structlog.stdlib.get_logger()


async def server_now(client: PrefectClient) -> datetime:
    """Read the server's clock, to the second: the one that sets the times of states, and plans the ticks."""
    # Any question would do; this is one that Prefect Cloud answers as well.
    date = (await client.request("POST", "/flows/count", json={})).headers.get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)


async def unless_refused(answer: Awaitable[T], **about: str) -> T | None:
    """Return the answer to one request; None if the server refuses it, which ends nothing but what it was asked for.

    A server that cannot be reached at all refuses everything: that raises httpx.HTTPError.
    """
    try:
        return await answer
    except (httpx.HTTPStatusError, PrefectException) as error:
        logger.warning("request_refused", error_type=type(error).__name__, error=str(error), **about)
        return None


async def read_runs(client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Read all runs that a filter finds. Raises httpx.HTTPError."""
    found: dict[UUID, FlowRun] = {}
    offset = 0
    while page := await client.read_flow_runs(
        flow_run_filter=wanted,
        # Newest first: a run that appears meanwhile moves others to where they are read twice, and none out of sight.
        sort=FlowRunSort.ID_DESC,
        limit=PAGE,
        offset=offset,
    ):
        found.update({run.id: run for run in page})
        offset += len(page)
        if len(page) < PAGE:
            break
    return list(found.values())


@dataclass(frozen=True)
class JobRuns:
    """The runs of some jobs, given by the names of the jobs by their deployments' ids. Raises httpx.HTTPError."""

    client: PrefectClient
    jobs: Mapping[UUID, str]

    def job_of(self, run: FlowRun) -> str:
        """Name the job that one of these runs belongs to."""
        assert run.deployment_id is not None  # noqa: S101  # it was found by its deployment
        return self.jobs[run.deployment_id]

    def of(self, deployments: Iterable[UUID]) -> "JobRuns":
        """Keep the runs of some of the jobs alone."""
        wanted = set(deployments)
        return replace(self, jobs={id_: name for id_, name in self.jobs.items() if id_ in wanted})

    async def in_states(self, types: Iterable[StateType]) -> list[FlowRun]:
        """Read the runs whose state is of one of `types`."""
        return await self._read(state=_in(types))

    async def overdue(self, due_before: datetime) -> list[FlowRun]:
        """Read the runs that were to start before `due_before`, and that no worker has taken."""
        due = FlowRunFilterExpectedStartTime(before_=due_before)  # pyright: ignore[reportArgumentType]  # pendulum
        return await self._read(state=_in([StateType.SCHEDULED]), expected_start_time=due)

    async def due(self, start: datetime, end: datetime) -> list[FlowRun]:
        """Read the runs that were to start from `start` to `end`, whatever became of them."""
        due = FlowRunFilterExpectedStartTime(after_=start, before_=end)  # pyright: ignore[reportArgumentType]  # pendulum
        return await self._read(expected_start_time=due)

    async def ended(self, start: datetime, end: datetime) -> list[FlowRun]:
        """Read the runs that came to an end from `start` to `end`."""
        return await self._read(state=_in(TERMINAL), end_time=_from_to(start, end))

    async def count_ended(self, start: datetime, end: datetime) -> int:
        """Count the runs that `ended` would return."""
        if not self.jobs:
            return 0
        return await self.client.count_flow_runs(
            flow_run_filter=self._filter(state=_in(TERMINAL), end_time=_from_to(start, end))
        )

    async def with_ids(self, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
        """Read those of the runs that the server still has, of whichever job."""
        found: dict[UUID, FlowRun] = {}
        for page in pages(ids):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(page)))
            found.update({run.id: run for run in await read_runs(self.client, wanted)})
        return found

    async def _read(self, **wanted: Any) -> list[FlowRun]:
        return await read_runs(self.client, self._filter(**wanted)) if self.jobs else []

    def _filter(self, **wanted: Any) -> FlowRunFilter:
        return FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=list(self.jobs)), **wanted)


def _in(types: Iterable[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def _from_to(start: datetime, end: datetime) -> FlowRunFilterEndTime:
    return FlowRunFilterEndTime(after_=start, before_=end)  # pyright: ignore[reportArgumentType]  # pendulum
