"""What the server has in the tests of this folder."""

import pytest
from prefect.client.orchestration import PrefectClient

from tests.deployments.server.deploying import deploy


@pytest.fixture
async def client(client: PrefectClient) -> PrefectClient:
    """A client of the shared server, on which there are two monitored jobs and no automation."""
    await deploy(client, "poll_news", minutes=15)
    await deploy(client, "pipeline_status", minutes=5)
    return client
