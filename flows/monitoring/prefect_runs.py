"""What Prefect's server knows of the jobs' flow runs, read in pages. A job's runs are those of its deployment."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
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
from flows.monitoring.prefect_answers import REPEATS, UnexpectedAnswer, reading_answers, require

TERMINAL = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
# What the log is told of a run.
_NEEDED = ("id", "deployment_id", "auto_scheduled", "run_count", "expected_start_time", "start_time", "state")
# More than the digits that a database may drop.
_ROUNDING = timedelta(seconds=1)
# As a column holds it.
_MOST_STARTS = 2**31 - 1

T = TypeVar("T")

logger = structlog.stdlib.get_logger()


async def server_now(client: PrefectClient) -> datetime:
    """Read the server's clock, to the second: the one that sets the times of states, and plans the ticks.

    Raises httpx.HTTPError, and UnexpectedAnswer.
    """
    with reading_answers():
        # Any question would do; this is one that Prefect Cloud answers as well.
        date = (await client.request("POST", "/flows/count", json={})).headers.get("date")
    try:
        return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)
    except (ValueError, OverflowError):
        raise UnexpectedAnswer("/flows/count", "its `Date` is not a date") from None


async def unless_refused(answer: Awaitable[T], **about: str) -> T | None:
    """Return the answer to one request; None if the server refuses it or its answer cannot be read.

    Only what it was asked for is left out then. A server that cannot be reached at all refuses everything: that raises
    httpx.HTTPError.
    """
    try:
        with reading_answers():
            return await answer
    except (httpx.HTTPStatusError, PrefectException) as error:
        logger.warning("request_refused", error_type=type(error).__name__, error=str(error), **about)
        return None


async def read_runs(client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Read all runs that a filter finds. Raises httpx.HTTPError, and UnexpectedAnswer."""
    found: dict[UUID, FlowRun] = {}
    offset = 0
    while page := await client.read_flow_runs(
        flow_run_filter=wanted,
        # Newest first: a run that appears meanwhile moves others to where they are read twice, and none out of sight.
        sort=FlowRunSort.ID_DESC,
        limit=PAGE,
        offset=offset,
    ):
        known = len(found)
        for run in page:
            _check(run)
            found[run.id] = run
        offset += len(page)
        if len(page) < PAGE:
            break
        if len(found) == known:
            raise UnexpectedAnswer("read_flow_runs", REPEATS)
    return list(found.values())


@dataclass(frozen=True)
class JobRuns:
    """The runs of some jobs, given by the names of the jobs by their deployments' ids.

    Raises httpx.HTTPError, and UnexpectedAnswer also for runs that were not asked for: what the log were told of them
    would be wrong.
    """

    client: PrefectClient
    jobs: Mapping[UUID, str]

    def job_of(self, run: FlowRun) -> str:
        """Name the job that one of these runs belongs to."""
        assert run.deployment_id is not None  # noqa: S101  # `_read` sees to it
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
        runs = await self._read(expected_start_time=due)
        return _all_asked_for(runs, lambda run: _is_within(run.expected_start_time, start, end))

    async def ended(self, start: datetime, end: datetime) -> list[FlowRun]:
        """Read the runs that came to an end from `start` to `end`."""
        runs = await self._read(state=_in(TERMINAL), end_time=_from_to(start, end))
        return _all_asked_for(runs, lambda run: _is_within(run.end_time, start, end))

    async def count_ended(self, start: datetime, end: datetime) -> int:
        """Count the runs that `ended` would return."""
        if not self.jobs:
            return 0
        wanted = self._filter(state=_in(TERMINAL), end_time=_from_to(start, end))
        count = cast("object", await self.client.count_flow_runs(flow_run_filter=wanted))  # as it came
        if not isinstance(count, int):
            raise UnexpectedAnswer("count_flow_runs", "not a number")
        return count

    async def with_ids(self, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
        """Read those of the runs that the server still has, of whichever job."""
        found: dict[UUID, FlowRun] = {}
        for page in pages(ids):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(page)))
            runs = _all_asked_for(await read_runs(self.client, wanted), lambda run, asked=set(page): run.id in asked)
            found.update({run.id: run for run in runs})
        return found

    async def _read(self, **wanted: Any) -> list[FlowRun]:
        runs = await read_runs(self.client, self._filter(**wanted)) if self.jobs else []
        return _all_asked_for(runs, lambda run: run.deployment_id in self.jobs)

    def _filter(self, **wanted: Any) -> FlowRunFilter:
        return FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=list(self.jobs)), **wanted)


def _in(types: Iterable[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def _from_to(start: datetime, end: datetime) -> FlowRunFilterEndTime:
    return FlowRunFilterEndTime(after_=start, before_=end)  # pyright: ignore[reportArgumentType]  # pendulum


def _check(run: FlowRun) -> None:
    require(run, *_NEEDED)
    if run.state is not None:
        require(run.state, "type", "timestamp")
        if run.state.timestamp.utcoffset() is None:
            raise UnexpectedAnswer("read_flow_runs", "a state's time has no timezone")
    if not 0 <= run.run_count <= _MOST_STARTS:
        raise UnexpectedAnswer("read_flow_runs", "run_count is not a count")


def _all_asked_for(runs: list[FlowRun], is_asked_for: Callable[[FlowRun], bool]) -> list[FlowRun]:
    if not all(map(is_asked_for, runs)):
        raise UnexpectedAnswer("read_flow_runs", "it has runs that were not asked for")
    return runs


def _is_within(at: datetime | None, start: datetime, end: datetime) -> bool:
    return at is not None and start - _ROUNDING <= at <= end + _ROUNDING
