"""One run of a polling job: what it opens, how long it may take, and how it closes its row in the execution log."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import structlog
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.asknews import (
    AccessDenied,
    AskNewsClient,
    AskNewsError,
    Page,
    PermanentError,
    RetryableError,
    client_from_settings,
)
from flows.database.clock import database_now
from flows.database.engine import opened_engine, reading
from flows.logs import bind_run, configure_logging
from flows.monitoring.log.facts import fact_of, is_part_of_another
from flows.monitoring.log.outcome import PARTIAL_FAILURE, SKIPPED
from flows.monitoring.log.record import Closing, record
from flows.monitoring.log.rows import latest_success
from flows.monitoring.vocabulary import Status, Writer
from flows.polling.bounds import PAGING_SECONDS
from flows.polling.budget import CreditBudget
from flows.polling.feeds import Feed
from flows.polling.known_pages import KnownPages
from flows.polling.retries import fetch_once, fetch_page, withdraw_retries
from flows.polling.secret_block import api_key_from_block
from flows.polling.statistics import Statistics
from flows.polling.storage.source_outages import end_outage, note_failed_run, read_outage
from flows.polling.windows import Window
from flows.settings import Settings, load_settings

# One run stores so many pages at the most, whatever AskNews answers, and so many while the budget is nearly spent.
MOST_PAGES = 150
TIGHT_PAGES = 3
# After so many failed runs in a row, a run asks once, and no more if that fails.
ASKS_ONCE_AFTER = 3
SANDBOX_NOTE = "sandbox: made-up news"

Fetch = Callable[[Feed[Any], Window, int | str], Awaitable[Page[Any]]]

logger = structlog.stdlib.get_logger()


@dataclass
class PollingRun:
    """A polling job's current run.

    `now` is the end of everything that it asks for: the database's time at its start, as a watermark from a worker
    whose own clock is ahead would leave hours out for ever.
    """

    flow_run: FlowRun
    job_name: str
    engine: AsyncEngine
    client: AskNewsClient
    budget: CreditBudget
    now: datetime
    is_tight: bool
    asks_once: bool = False
    """Whether the runs before failed, or AskNews wants to be left alone: then one failed request ends the run."""
    fetch: Fetch = fetch_page
    requests_at_once: int = 1
    """How many requests may go on at the same time."""
    most_pages: int = MOST_PAGES
    """How many pages the flow lets it store, where they are dear."""
    pages: KnownPages = field(default_factory=KnownPages)
    data_note: str | None = None
    """What everybody who sees the data should know of it; the monitoring shows it."""
    whole_windows: int = 0
    """Stretches of time that were read whole."""
    measures: list[dict[str, str | None]] = field(default_factory=list[dict[str, str | None]])
    """What was measured of AskNews, for the monitoring to show."""
    is_skipped: bool = False
    zone: tzinfo = UTC
    """The timezone in which people are told times."""
    _began_at: float = field(default_factory=time.monotonic)
    _stop_at: float = field(default_factory=lambda: time.monotonic() + PAGING_SECONDS)
    _closed: bool = False

    @property
    def statistics(self) -> Statistics:
        """What has been done so far: the budget counts its requests there."""
        return self.budget.statistics

    def is_out_of_time(self) -> bool:
        """Return whether the run should leave what remains to the next one."""
        return time.monotonic() > self._stop_at

    def leaves_the_rest(self) -> bool:
        """Return whether what remains is the next run's: time is up, pages are many, or the budget nearly spent."""
        most = TIGHT_PAGES if self.is_tight else min(self.most_pages, MOST_PAGES)
        return self.is_out_of_time() or self.statistics.pages >= most

    def may_ask_ahead(self, waiting: int) -> bool:
        """Return whether a page may be fetched ahead while `waiting` others are: only if the run will come to it."""
        is_limited = self.is_tight or self.asks_once or self.is_out_of_time()
        return not is_limited and self.statistics.pages + waiting < min(self.most_pages, MOST_PAGES)

    def stops_at_failures(self) -> bool:
        """Return whether a page that fails ends the run's poll, and is not stepped over."""
        return self.asks_once or self.is_out_of_time()

    def reads_what_it_deferred(self) -> bool:
        """Return whether this run reads again what it has deferred: what has just failed is left to a later one."""
        return self.statistics.deferred_stretches > 0 and not self.statistics.failures and not self.is_tight

    def gained_nothing(self) -> bool:
        """Return whether pages came and something failed, without a new record or a stretch that was read whole."""
        gained = self.statistics.inserted or self.statistics.updated or self.whole_windows
        return bool(self.statistics.pages and self.statistics.failures) and not gained

    def status(self) -> str:
        """Return the log's status for what has been done so far."""
        return Status.PARTIAL_FAILURE if self.statistics.failures or self.statistics.newly_rejected else Status.SUCCESS

    async def close(self, connection: AsyncConnection, *, status: str, details: dict[str, Any] | None = None) -> None:
        """Close the run's row within the caller's transaction, so that outcome and data are committed together."""
        failures = "; ".join(self.statistics.failures)
        closing = Closing(
            status=status,
            # By the clock of `now`, since the one here may be minutes wrong.
            completed_at=self.now + timedelta(seconds=time.monotonic() - self._began_at),
            closed_by=Writer.FLOW,
            error_message=failures or None,
            details={
                **self.statistics.as_details(),
                "budget": await self.budget.as_details(connection),
                **({"data_note": self.data_note} if self.data_note else {}),
                "measures": self.measures,
                **(details or {}),
            },
        )
        fact = fact_of(
            self.flow_run,
            self.job_name,
            closing,
            attempt=max(self.flow_run.run_count, 1),
            started_at=self.flow_run.start_time or self.now,
        )
        # The hooks have opened a row for a run of the job alone.
        if not is_part_of_another(self.flow_run):
            await record(connection, fact)
        self._closed = True

    async def finish_feature_off(self, error: AccessDenied) -> State[Any]:
        """Close the row as a success that could do nothing, as the plan does not include this. Loud only once."""
        details = {"feature": "off", "explanation": str(error)}
        async with self.engine.begin() as connection:
            last = await latest_success(connection, self.job_name)
            known = last is not None and last.details.get("feature") == "off"
            await self.close(connection, status=Status.SUCCESS, details=details)
        logger.log(logging.INFO if known else logging.WARNING, "feature_off", explanation=str(error))
        return Completed(name="FeatureOff", message=f"Feature off: {error}", data=details)

    async def finish(self) -> State[Any]:
        """Close the row, unless the last page has, and return the state for the flow to return."""
        if not self._closed:
            async with self.engine.begin() as connection:
                await self.close(connection, status=self.status())
        summary = self.statistics.summary()
        details = self.statistics.as_details()
        logger.info("poll_finished", status=self.status(), **details)
        if self.status() == Status.PARTIAL_FAILURE:
            return Completed(name=PARTIAL_FAILURE, message=summary, data=details)
        return Completed(message=summary, data=details)

    async def skip(self, *, reason: str, message: str) -> State[Any]:
        """Close the row as skipped, with the reason and the message, and return the state for the flow to return."""
        async with self.engine.begin() as connection:
            await self.close(connection, status=Status.SKIPPED, details={"reason": reason, "explanation": message})
        self.is_skipped = True
        logger.warning("poll_skipped", reason=reason, explanation=message)
        return Completed(name=SKIPPED, message=message, data={"reason": reason})


@asynccontextmanager
async def polling_run(job_name: str, *, keeps_credits_for: str | None = None) -> AsyncGenerator[PollingRun]:
    """Open everything that a polling job needs, for the current flow run, and close it afterwards.

    `keeps_credits_for` names the job whose credits this one must leave.

    Raises MissingCredentials or DatabaseUnavailable before any work is done. An error that no retry can help takes the
    flow's own retries with it: the run fails at once.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("A polling job runs inside a flow run.")
    flow_run = context.flow_run
    settings = load_settings()
    configure_logging(settings)
    bind_run(flow_run.id, job_name)
    logger.info("poll_started", attempt=flow_run.run_count, scheduled_for=str(flow_run.expected_start_time))
    try:
        client = client_from_settings(settings, api_key=await api_key_from_block(settings))
        async with opened_engine(settings) as engine, client:
            run = await _opened(flow_run, job_name, settings, engine, client, keeps_credits_for)
            async with _outage_counted(run):
                yield run
    except PermanentError:
        await withdraw_retries(flow_run)
        raise


async def _opened(
    flow_run: FlowRun,
    job_name: str,
    settings: Settings,
    engine: AsyncEngine,
    client: AskNewsClient,
    keeps_credits_for: str | None,
) -> PollingRun:
    async with reading(engine) as connection:
        now = await database_now(connection)
        failed_runs, retry_at = await read_outage(connection, job_name)
    budget = CreditBudget(
        engine,
        settings.monthly_credits,
        settings.billing_day,
        settings.budget_soft_ratio,
        Statistics(),
        job_name=job_name,
        keeps_for=keeps_credits_for,
    )
    is_tight = await budget.is_tight()
    if is_tight:
        logger.warning("budget_tight", limit=settings.monthly_credits)
    asks_once = failed_runs >= ASKS_ONCE_AFTER or (retry_at is not None and retry_at > now)
    if asks_once:
        logger.warning("run_asks_once", failed_runs=failed_runs, retry_at=str(retry_at))
    fetch = fetch_once if asks_once else fetch_page
    return PollingRun(
        flow_run,
        job_name,
        engine,
        client,
        budget,
        now,
        is_tight,
        asks_once,
        fetch,
        settings.requests_at_once,
        data_note=SANDBOX_NOTE if settings.is_sandbox() else None,
        zone=settings.zone(),
    )


@asynccontextmanager
async def _outage_counted(run: PollingRun) -> AsyncGenerator[None]:
    """Count the runs that fail in a row for what AskNews does, or gain nothing; forget them when one has its answer."""
    try:
        yield
    except AskNewsError as error:
        await _note_failed(run, error.retry_after if isinstance(error, RetryableError) else None)
        if run.asks_once:
            # Its second attempt would be another request.
            await withdraw_retries(run.flow_run)
        raise
    if run.gained_nothing():
        await _note_failed(run, None)
    elif not run.is_skipped:  # a skipped one has asked for nothing
        async with run.engine.begin() as connection:
            await end_outage(connection, run.job_name)


async def _note_failed(run: PollingRun, retry_after: float | None) -> None:
    async with run.engine.begin() as connection:
        now = await database_now(connection)
        await note_failed_run(
            connection,
            run.job_name,
            retry_at=now + timedelta(seconds=retry_after) if retry_after else None,
            is_repeated=run.flow_run.run_count > 1,
        )
