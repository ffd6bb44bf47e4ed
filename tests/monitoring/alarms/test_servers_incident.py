"""The incident that the Prefect server opens at the default receiver is closed there, whatever its cause was."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine
from flows.monitoring.alarms.receivers import DEFAULT
from flows.monitoring.alarms.refusals import note_deliveries
from tests.monitoring.alarms.working import settings, told, work
from tests.monitoring.verdicts.changing import known
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, seed
from tests.support.fake_prefect import FakePrefect
from tests.support.receiver import Receiver


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize(("minutes", "is_closed"), [(20, True), (2, False)])
async def test_it_is_closed_when_nothing_is_left_to_tell(
    engine: AsyncEngine, everybody: Receiver, minutes: int, is_closed: bool
) -> None:
    now = await clock(engine)
    await seed(engine, [expected("pipeline_status", now, every_minutes=5)], [ran("pipeline_status", now - MINUTE)])
    async with engine.begin() as connection:
        # An alarm could not be delivered; by now its job is paused.
        await note_deliveries(connection, {DEFAULT: "It refused."}, [DEFAULT], now - minutes * MINUTE)
    async with FakePrefect().client() as client:
        await work(client, engine, settings(everybody), times=2)
    assert told(everybody) == (["alarms are delivered again"] if is_closed else [])


async def test_the_default_hears_the_end_of_anybodys_silence(
    engine: AsyncEngine, everybody: Receiver, data: Receiver
) -> None:
    now = await clock(engine)
    status_flow = expected("pipeline_status", now, every_minutes=5, expectations={"owner": "data"})
    await seed(engine, [status_flow], [ran("pipeline_status", now - 60 * MINUTE, seconds=0)])
    await known(engine, "pipeline_status", "healthy", None, at=now - timedelta(days=1))
    async with FakePrefect().client() as client:
        await work(client, engine, settings(everybody, notification_by_owner={"data": data.apprise_url}))
    assert told(everybody) == told(data) == ["pipeline_status was silent for 1 h"]
