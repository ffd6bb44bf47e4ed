"""`vibecheck worker`: a process worker that is drained, not killed.

Prefect's own `worker start` kills its flows when it is stopped, and leaves them Running for ever; when the server stays
away for some four minutes it gives up, with the same effect. It also starts two interpreters for each run. This one
uses the same ProcessWorker, but:

- on SIGTERM or SIGINT it takes no further run, waits for those that it has, and then ends;
- no answer of the server, and no silence, ends it: it goes on asking, and its healthcheck tells;
- it takes the runs that are due by the server's clock, whatever its own says; and none where the two are far apart;
- it forks its runs from a process that has everything imported (`starter`).
"""

import asyncio
import os
import signal
import socket
from abc import ABC
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import anyio.abc
import httpx
import structlog
from cyclopts import Parameter, validators
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse, WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings, temporary_settings
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult
from pydantic import PrivateAttr

from deployments.forking.plain_http import without_tls
from deployments.forking.starter import Starter, warm_starts
from deployments.parameters import GivenSettings
from deployments.server.environments import require_server
from deployments.server.work_pools import no_such_pool, server_work_pools
from flows.logs import configure_logging
from flows.monitoring.prefect_answers import reading_answers
from flows.monitoring.prefect_runs import server_now

DRAIN_CHECK_SECONDS = 0.5
# A run's own times, such as its states' and its heartbeats', are wrong by so much.
MOST_CLOCK_DIFFERENCE = timedelta(minutes=10)

logger = structlog.stdlib.get_logger()


class Configuration(ProcessJobConfiguration):
    """The configuration of a run's process, which knows the run's deployment."""

    _deployment: DeploymentResponse | None = PrivateAttr(default=None)

    @property
    def deployment(self) -> DeploymentResponse | None:
        """The deployment that the run is of."""
        return self._deployment

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *arguments: Any, **keywords: Any
    ) -> None:
        """Note the deployment, beside what Prefect does."""
        self._deployment = deployment
        super().prepare_for_flow_run(flow_run, deployment, *arguments, **keywords)


# Prefect makes any other subclass the one for its type `process`, with a warning; an abstract one it leaves alone.
class Worker(ProcessWorker, ABC):
    """Prefect's process worker, in which a run that cannot be submitted takes no other run with it.

    The tasks of all runs are one group. When Prefect (3.8.8 and 3.9.1) asks for a run's deployment, an error of the
    server ends that run's task, and so the group: every run in it is killed, and left Running for ever.
    """

    job_configuration = Configuration
    starter: Starter | None = None

    def go_by_the_servers_clock(self, ahead: timedelta) -> None:
        """Ask for the runs that are due by the server's clock; this machine's is `ahead` of it.

        Prefect asks for those that are due by its own. By one that is minutes behind, each came so late that it counted
        as missed.
        """
        self._prefetch_seconds = get_current_settings().worker.prefetch_seconds - ahead.total_seconds()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Execute a run in a process of its own, and return how the process ended."""
        deployment = configuration.deployment if isinstance(configuration, Configuration) else None
        with self.starter.knowing(flow_run.id, deployment) if self.starter else nullcontext():
            return await super().run(flow_run, configuration, task_status)

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        """Submit the runs that are not in hand yet.

        A run whose process hangs may have been ended, retried by a person, and offered again here. Its second slot is
        an error to Prefect 3.8.8, which would end the polling.
        """
        in_hand = set(self.limiter.statistics().borrowers)
        return await super()._submit_scheduled_flow_runs(
            [entry for entry in flow_run_response if entry.flow_run.id not in in_hand]
        )

    async def _submit_run(self, flow_run: FlowRun) -> None:
        try:
            await super()._submit_run(flow_run)
        except Exception:  # whatever it is, it must not take the other runs with it
            logger.exception("run_not_submitted", flow_run_id=str(flow_run.id), explanation="The next poll asks again.")
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)

    async def _mark_flow_run_as_cancelled(self, flow_run: FlowRun, state_updates: dict[str, Any] | None = None) -> None:
        """Cancel a run that will not start, as its deployment is gone; Prefect forgets that it holds a slot."""
        await super()._mark_flow_run_as_cancelled(flow_run, state_updates)
        self._release_limit_slot(flow_run.id)


class Limiter(Protocol):
    """Counts the runs that a worker has in its hands."""

    @property
    def borrowed_tokens(self) -> int:
        """How many there are."""
        ...


async def run_worker(
    *,
    pool: Annotated[str, Parameter(help="Work pool whose runs it executes.")],
    limit: Annotated[
        int,
        Parameter(help="Most runs to execute at a time; one needs about 100 MB.", validator=validators.Number(gte=1)),
    ] = 4,
    name: Annotated[str | None, Parameter(help="Its name in Prefect. Default: host and process.")] = None,
    polled_file: Annotated[
        Path | None, Parameter(help="File to touch at each poll that the server answered, for a healthcheck.")
    ] = None,
    settings: GivenSettings,
) -> int:
    """Execute runs as processes. SIGTERM drains it: no further run starts, and those that are going end first.

    A server that is away is asked again. Exit code 1 when the worker ended for another reason than a signal; its runs
    were waited for then, too.
    """
    require_server()
    configure_logging(settings, to_prefect=False)
    stop = asyncio.Event()
    starting = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set():
            logger.warning("worker_already_draining", explanation="SIGKILL ends it at once, and loses its runs.")
        stop.set()
        if starting is not None:
            starting.cancel()  # it has no run yet, and may be waiting for the server

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    logger.info("worker_starting", work_pool=pool, limit=limit)
    # The same name again after a restart of the container: Prefect keeps a record of every name that it has seen.
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    worker = Worker(work_pool_name=pool, name=name, limit=limit)
    try:
        with temporary_settings(without_tls()):
            while not await _answered(partial(_check_pool, pool)):  # noqa: ASYNC110  # a server sends no event
                await asyncio.sleep(get_current_settings().worker.query_seconds)
            async with warm_starts(pool) as worker.starter, worker:
                starting = None
                logger.info("worker_started", work_pool=pool, worker=worker.name)
                failed = await _poll_until(stop, worker, polled_file)
                await drain(worker.limiter, polled_file)
                # Leaving the block waits for whatever a finished run has still to report.
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        failed = False
    logger.info("worker_stopped", work_pool=pool, worker=worker.name)
    return 1 if failed else 0


async def _check_pool(name: str) -> None:
    """Raise CommandFailed if the server has no such pool: Prefect's worker would make it, and wait there for ever."""
    async with get_client() as client:
        try:
            await client.read_work_pool(name)
        except ObjectNotFound:
            raise no_such_pool([name], await server_work_pools(client)) from None


async def _poll_until(stop: asyncio.Event, worker: Worker, polled_file: Path | None) -> bool:
    """Poll until `stop`. Return whether polling ended by itself."""
    polling = asyncio.create_task(poll(worker, polled_file))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([polling, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    # A poll hands over all runs that it has received at once, after its last request: cutting it off loses none.
    polling.cancel()
    with suppress(asyncio.CancelledError):
        try:
            await polling
        except Exception:  # whatever it is, the runs in hand are waited for
            logger.exception("worker_polling_failed", explanation="Ending, once the runs in hand are done.")
            return True
    return False


async def poll(worker: Worker, polled_file: Path | None) -> None:
    """Tell the server that the worker lives, and take the runs that are due, for ever."""
    loop = asyncio.get_running_loop()
    interval = get_current_settings().worker.query_seconds
    next_heartbeat = loop.time()
    may_take = False
    while True:
        if loop.time() >= next_heartbeat and await _answered(worker.sync_with_backend):
            next_heartbeat = loop.time() + worker.heartbeat_interval_seconds
            with suppress(httpx.HTTPError, PrefectException):  # asked again with the next heartbeat
                ahead = await _ahead_of_the_server(worker.client)
                worker.go_by_the_servers_clock(ahead)
                may_take = abs(ahead) <= MOST_CLOCK_DIFFERENCE
        # Before the server has answered that once, a ProcessWorker asks for no runs, and says that there are none.
        if may_take and await _answered(worker.get_and_submit_flow_runs):
            _show_life(polled_file)
        await asyncio.sleep(interval)


async def _ahead_of_the_server(client: PrefectClient) -> timedelta:
    """How far this machine's clock is ahead of the server's; logs if that is too far. Raises httpx.HTTPError."""
    server = await server_now(client)
    ahead = datetime.now(UTC) - server
    if abs(ahead) > MOST_CLOCK_DIFFERENCE:
        logger.error(
            "clock_is_wrong",
            seconds_ahead_of_server=round(ahead.total_seconds()),
            explanation="No run is taken, as its times would be wrong. Set this machine's clock, or the server's.",
        )
    return ahead


async def _answered(request: Callable[[], Awaitable[Any]]) -> bool:
    """Whether the server answered `request` as it should; logs why not. The client has made its own retries before."""
    try:
        with reading_answers():
            await request()
    except (httpx.HTTPError, PrefectException, OSError) as error:
        logger.warning("prefect_server_unavailable", error_type=type(error).__name__, error=str(error))
        return False
    return True


async def drain(runs: Limiter, polled_file: Path | None) -> None:
    """Wait until no run is left. The worker shows life meanwhile: something may restart those that do not."""
    announced = 0
    while running := runs.borrowed_tokens:
        if running != announced:
            logger.info("worker_draining", running=running)
            announced = running
        _show_life(polled_file)
        await asyncio.sleep(DRAIN_CHECK_SECONDS)


def _show_life(polled_file: Path | None) -> None:
    if polled_file is not None:
        polled_file.touch()
