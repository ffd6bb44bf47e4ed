"""Jobs that only exist on the server: nothing executes them."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule


async def deploy(client: PrefectClient, name: str, *, minutes: float) -> None:
    """A supervised job with a schedule."""
    schedule = IntervalSchedule(interval=timedelta(minutes=minutes), anchor_date=datetime(2026, 1, 1, tzinfo=UTC))  # pyright: ignore[reportArgumentType]  # pendulum's
    await client.create_deployment(
        await client.create_flow_from_name(name),
        "scheduled",
        tags=["monitored", "supervised"],
        schedules=[DeploymentScheduleCreate(schedule=schedule, active=True)],
    )
