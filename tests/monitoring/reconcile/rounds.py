"""What the status flow does to the log each time, against a made-up server."""

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.jobs.expectations import sync_expectations
from flows.monitoring.reconcile.lost_runs import Patience
from flows.monitoring.reconcile.reconciler import Reconciled, reconcile
from tests.support.fake_prefect import FakePrefect


async def status_round(prefect: FakePrefect, database: AsyncEngine, patience: Patience | None = None) -> Reconciled:
    async with prefect.client() as client:
        synced = await sync_expectations(client, database)
        return await reconcile(client, database, synced.jobs, patience=patience)
