"""What the status flow does before it judges: each step by itself, so that one that fails ends nothing else."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import DatabaseUnavailable
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.jobs.registry import AbsentWorker
from flows.monitoring.jobs.workers import absent_workers
from flows.monitoring.log.retention import delete_old_rows
from flows.monitoring.prefect_answers import reading_answers
from flows.monitoring.reconcile.reconciler import reconcile
from flows.settings import MonitoringSettings

# How long a step may take. Together they leave the status flow's 240 s a minute, to judge and to tell.
QUICK_SECONDS, RECONCILING_SECONDS = 30.0, 90.0

T = TypeVar("T")

logger = structlog.stdlib.get_logger()


class RepairFailed(Exception):
    """Steps of the repair that failed. All jobs were judged, and what there was to tell was told."""


@dataclass
class Repair:
    """What was repaired, and what could not be."""

    repaired: int = 0
    lost: int = 0
    missed: int = 0
    deleted: int = 0
    absent: Mapping[str, AbsentWorker | None] = field(default_factory=dict[str, AbsentWorker | None])
    """As `absent_workers` has found; empty where it has not."""
    failures: dict[str, Exception] = field(default_factory=dict[str, Exception])
    """What each step that failed raised, by the step's name."""

    def raise_failures(self) -> None:
        """Raise RepairFailed if a step failed: a log that nobody repairs is trouble, though the jobs were judged."""
        if self.failures:
            failures = [f"{step} ({type(error).__name__})" for step, error in self.failures.items()]
            raise RepairFailed(
                f"Not done: {', '.join(failures)}. The run's log says why. All jobs were judged, those without "
                "`@monitored` by what was known before."
            ) from next(iter(self.failures.values()))


async def repair(client: PrefectClient, engine: AsyncEngine, settings: MonitoringSettings) -> Repair:
    """Bring expectations and log up to date, and look for workers. Safe to repeat.

    1. Copy what is deployed. Without that, nobody interferes with any run.
    2. Reconcile the log with the server.
    3. Delete old rows.
    4. Ask which jobs have no worker.

    Raises DatabaseUnavailable: without the database, nothing can be judged either.
    """
    done = Repair()
    synced = await _step("copy the deployments", sync_expectations(client, engine), QUICK_SECONDS, done)
    live = () if synced is None else synced.jobs
    reconciled = await _step("reconcile the log", reconcile(client, engine, live), RECONCILING_SECONDS, done)
    if reconciled is not None:
        done.repaired, done.lost, done.missed = reconciled.repaired, reconciled.lost, reconciled.missed
    old = delete_old_rows(engine, settings.retention_days)
    done.deleted = await _step("delete old rows", old, QUICK_SECONDS, done) or 0
    done.absent = await _step("look for workers", absent_workers(client, live), QUICK_SECONDS, done) or {}
    return done


async def _step(name: str, work: Awaitable[T], seconds: float, done: Repair) -> T | None:
    """The result of a step; None if it failed, which is noted."""
    try:
        with reading_answers():
            async with asyncio.timeout(seconds):
                return await work
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  # whatever one job is like, all others are judged and told
        logger.error("repair_step_failed", step=name, error_type=type(error).__name__, error=str(error))  # noqa: TRY400  # a traceback could show an address
        done.failures[name] = error
        return None
