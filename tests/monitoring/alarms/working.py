"""The status flow's work on jobs that are overdue, and what its receivers were told."""

import re
from datetime import datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.alarms.publish import Published, publish
from flows.monitoring.verdicts.changes import judge
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, ran_every, seed
from tests.support.receiver import Receiver

NEWS = "poll_news"


def settings(receiver: Receiver | None, **changes: Any) -> Settings:
    return Settings.model_validate(
        {"installation": "staging", "notification": receiver and receiver.apprise_url, **changes}
    )


async def overdue(engine: AsyncEngine, *names: str) -> datetime:
    """These jobs, every 15 minutes, ran last 40 minutes ago. Return the time."""
    now = await clock(engine)
    jobs = [expected(name, now) for name in names] + [expected("pipeline_status", now, every_minutes=5)]
    rows = [ran(name, now - 40 * MINUTE, "failure") for name in names]
    await seed(engine, jobs, [*rows, *ran_every("pipeline_status", now, 5, 3)])
    return now


async def work(
    client: PrefectClient, engine: AsyncEngine, with_settings: Settings, *, times: int = 1
) -> list[Published]:
    """What the status flow does, so many times."""
    return [await publish(client, engine, with_settings, await judge(engine, with_settings)) for _ in range(times)]


def told(receiver: Receiver) -> list[str]:
    """The subjects that arrived, without the installation and the time of day."""
    subjects = [subject.removeprefix("VibeCheck staging: ") for subject in receiver.subjects]
    return [re.sub(r" (since|at) (\d+ \w+ )?\d\d:\d\d UTC", "", subject) for subject in subjects]
