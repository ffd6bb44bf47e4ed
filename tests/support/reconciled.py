"""What the status flow does first, done by a test: with a real server, and a database on SQLite."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine, reading
from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.log.rows import open_rows
from flows.monitoring.prefect_runs import JobRuns
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import Reconciled, reconcile
from tests.support.prefect_server import PrefectServer, wait_until

T = TypeVar("T")


def with_server(
    prefect: PrefectServer, database: Path, action: Callable[[PrefectClient, AsyncEngine], Awaitable[T]]
) -> T:
    """What `action` returns of the server and the database."""

    async def act() -> T:
        engine = create_engine(f"sqlite+aiosqlite:///{database}")
        try:
            async with get_client() as client:
                return await action(client, engine)
        finally:
            await engine.dispose()

    with temporary_settings({PREFECT_API_URL: prefect.api_url}):
        return asyncio.run(act())


async def reconcile_once(client: PrefectClient, engine: AsyncEngine, patience: Patience | None = None) -> Reconciled:
    """Copy what is deployed, and reconcile the log with the server."""
    synced = await sync_expectations(client, engine)
    return await reconcile(client, engine, synced.jobs, patience=patience)


def leaves_no_row_open(prefect: PrefectServer, database: Path) -> None:
    """Stop all but the server. Fail if a row goes on saying `running` of a run that has ended, or is gone."""
    prefect.stop_all_but_server()
    if not prefect.is_running():
        return

    async def is_closed(client: PrefectClient, engine: AsyncEngine) -> bool:
        await reconcile_once(client, engine)
        async with reading(engine) as connection:
            rows = await open_rows(connection, datetime.now(UTC) + timedelta(days=1))
        runs = await JobRuns(client, {}).with_ids([row.execution_id for row in rows])
        states = [run.state for row in rows if (run := runs.get(row.execution_id)) is not None]
        return len(states) == len(rows) and not any(state is None or state.is_final() for state in states)

    wait_until(
        lambda: with_server(prefect, database, is_closed), seconds=30, what="the rows of all ended runs to be closed"
    )
