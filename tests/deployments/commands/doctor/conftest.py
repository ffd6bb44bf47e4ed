"""An installation in which all is well, for a test to break: a made-up Prefect, the sandbox, a database, a receiver."""

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from deployments.commands.doctor.checks import Finding
from deployments.server.automations import wanted_automations
from deployments.server.described import work_pool_names
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.settings import Settings
from tests.support.fake_prefect import FakePrefect
from tests.support.receiver import Receiver, running_receiver
from tests.support.sandbox_server import BUSY_MOMENT, RunningSandbox, running_sandbox
from tests.support.served_prefect import serving

PASSWORD = "admin:of-the-server"
GOOD_SETTINGS: dict[str, Any] = {
    "server": {
        "concurrency": {"lease_storage": "prefect.server.concurrency.lease_storage.filesystem"},
        "services": {"late_runs": {"after_seconds": "PT1M"}},
        "events": {"expired_bucket_buffer": "P1D"},
    }
}


@dataclass
class Installation:
    """What the doctor looks at."""

    prefect: FakePrefect
    sandbox: RunningSandbox
    receiver: Receiver
    directory: Path
    database_url: str
    password: str | None = PASSWORD

    def settings(self, **changes: Any) -> Settings:
        given = {
            "data_directory": self.directory,
            "database_url": self.database_url,
            "notification": self.receiver.apprise_url,
            "asknews_api_url": self.sandbox.base_url,
            "asknews_api_key": "ank_the-key",
            "installation": "staging",
        }
        return Settings.model_validate(given | changes)


def of(findings: list[Finding], subject: str) -> list[tuple[str, str]]:
    """What was found of a subject: marks and texts."""
    return [(finding.mark.value, finding.text) for finding in findings if finding.subject == subject]


@pytest.fixture(scope="session")
def sandbox() -> Generator[RunningSandbox]:
    with running_sandbox(
        as_of=BUSY_MOMENT, api_keys=["ank_the-key"], requests_per_second=5, burst=1_000, concurrency=10
    ) as running:
        yield running


@pytest.fixture
def prefect() -> FakePrefect:
    fake = FakePrefect(now=datetime.now(UTC), settings=GOOD_SETTINGS)
    pools = work_pool_names()
    for job in ("pipeline_status", "poll_news"):
        fake.deploy(job, work_pool_name=pools[0])
        fake.run(job, fake.now + timedelta(minutes=5), "SCHEDULED", run_count=0)
    fake.work_pools = dict.fromkeys(pools, "READY")
    return fake


@pytest.fixture
async def installation(
    prefect: FakePrefect, sandbox: RunningSandbox, tmp_path: Path, sqlite_url: str
) -> AsyncGenerator[Installation]:
    sandbox.state.requests.clear()
    sandbox.clear_faults()
    with running_receiver() as receiver:
        it = Installation(prefect, sandbox, receiver, tmp_path, sqlite_url)
        with (
            serving(_routes(it)),
            temporary_settings({PREFECT_API_AUTH_STRING: PASSWORD}),
        ):
            # Now, as the automations link to the server's address.
            await apply_automations(prefect, it.settings())
            yield it


async def apply_automations(prefect: FakePrefect, settings: Settings) -> None:
    """Give the server what `vibecheck apply` would, with the same block for messages."""
    async with prefect.client() as client:
        jobs = await read_live_jobs(client, prefect.now)
    block = "00000000-0000-0000-0000-000000000001"
    wanted = wanted_automations(jobs, prefect.now, settings, UUID(block))
    prefect.automations = [
        {"id": f"00000000-0000-0000-0000-0000000001{number:02}", **automation.model_dump(mode="json")}
        for number, automation in enumerate(wanted)
    ]


def _routes(installation: Installation) -> APIRouter:
    """The made-up server over HTTP, behind a password."""
    router = APIRouter()

    @router.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(path: str, request: Request) -> Response:
        if installation.password is not None and "authorization" not in request.headers:
            return Response(status_code=401)
        asked = httpx.Request(request.method, f"http://prefect.test/api/{path}", content=await request.body())
        told = installation.prefect.answer(asked)
        # The server's clock is this machine's: uvicorn tells it.
        return Response(told.content, told.status_code, media_type="application/json")

    return router
