"""Jobs as a server has them, for tests that need no server."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from flows.monitoring.jobs.deployments import LiveJob
from flows.monitoring.jobs.expectation_tags import Expectations


def live_job(job_name: str, **changes: Any) -> LiveJob:
    """A deployed, supervised job without a schedule, whose runs a worker of `vibecheck` executes."""
    values: dict[str, Any] = {
        "job_name": job_name,
        "full_name": f"{job_name}/scheduled",
        "deployment_id": uuid4(),
        "schedule": [],
        "paused": False,
        "changed_at": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "next_run_at": None,
        "planned_runs": 0,
        "work_pool": "vibecheck",
        "heartbeat_seconds": 30.0,
        "expectations": Expectations(),
        "is_supervised": True,
    }
    return LiveJob(**values | changes)
