"""One Prefect server for all tests that only ask one: starting it costs more than most of them do."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_UI_URL,
    temporary_settings,
)

from tests.support.made_once import made_once
from tests.support.prefect_server import PrefectServer, make_template, running_prefect


@pytest.fixture(scope="session")
def prefect_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a migrated server, to copy."""
    return made_once(tmp_path_factory, "prefect-template", make_template) / "home"


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory, prefect_template: Path) -> Iterator[PrefectServer]:
    """A server without workers (one for each pytest-xdist worker)."""
    with running_prefect(tmp_path_factory.mktemp("shared-prefect"), prefect_template, {}) as server:
        yield server


@pytest.fixture
async def client(prefect: PrefectServer) -> AsyncGenerator[PrefectClient, None]:
    """A client of the shared server, whose address is this process' own. Nothing is deployed there at first."""
    ours: dict[Any, Any] = {
        PREFECT_API_URL: prefect.api_url,
        PREFECT_UI_URL: prefect.api_url.removesuffix("/api"),
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
    }
    with temporary_settings(ours):
        async with get_client() as client:
            yield client
            await _clear(client)


async def _clear(client: PrefectClient) -> None:
    """Take away what a test has made: what a schedule goes on planning costs processor time until the session ends."""
    for automation in await client.read_automations():
        await client.delete_automation(automation.id)
    for deployment in await client.read_deployments():
        await client.delete_deployment(deployment.id)
    while runs := await client.read_flow_runs():
        for run in runs:
            await client.delete_flow_run(run.id)
