"""The monitored deployments are read from the server in pages, and none is left out."""

import pytest
from prefect.client.orchestration import PrefectClient

from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.paging import PAGE
from tests.support.fake_prefect import START, FakePrefect

COUNT = 2 * PAGE + 3


@pytest.fixture
def prefect() -> FakePrefect:
    """A server with some pages of jobs, whose deployments are all called `scheduled`."""
    prefect = FakePrefect()
    for number in range(COUNT):
        prefect.deploy(f"job_{number:03}")
    return prefect


async def names(client: PrefectClient) -> list[str]:
    return [job.job_name for job in await read_live_jobs(client, START)]


async def test_more_jobs_than_fit_on_a_page_are_each_seen_once(prefect: FakePrefect) -> None:
    async with prefect.client() as client:
        assert await names(client) == [f"job_{number:03}" for number in range(COUNT)]


async def test_a_deployment_deleted_meanwhile_hides_no_other(prefect: FakePrefect) -> None:
    def delete_one(path: str) -> bool:
        if path == "/flows/filter" and len(prefect.deployments) == COUNT:
            prefect.deployments.pop()  # the newest, which is on the first page
        return False

    prefect.is_broken_for = delete_one
    async with prefect.client() as client:
        assert len(await names(client)) == COUNT
