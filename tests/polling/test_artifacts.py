"""What a run shows in Prefect neither comes before its row nor holds it up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows import poll_news, poll_stories
from flows.polling import artifacts
from flows.polling.artifacts import CatchUpProgress, publish_table
from flows.polling.run import PollingRun
from flows.polling.statistics import Statistics
from tests.polling.runs import polling_run, row_of


async def nothing(*_arguments: object, **_named: object) -> None: ...


@pytest.mark.parametrize("module", [poll_news, poll_stories])
async def test_the_row_is_closed_before_prefect_is_asked(
    sqlite_database: AsyncEngine, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    run = polling_run(sqlite_database)
    statuses: list[str] = []

    @asynccontextmanager
    async def opened(*_arguments: object, **_named: object) -> AsyncGenerator[PollingRun]:
        yield run

    async def note_row(*_arguments: object) -> None:
        row = await row_of(run)
        statuses.append(row.status if row else "no row")

    fakes = {"misfire": nothing, "poll_scopes": nothing, "polling_run": opened, "publish_table": note_row}
    for name, fake in fakes.items():
        monkeypatch.setattr(module, name, fake)
    flow: Any = getattr(module, module.JOB_NAME)
    state = await flow.fn()
    assert statuses == ["success"]
    assert state.is_completed()


async def test_a_server_that_never_answers_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(**_named: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(artifacts, "ARTIFACT_SECONDS", 0.01)
    for name in ("acreate_table_artifact", "acreate_progress_artifact"):
        monkeypatch.setattr(artifacts, name, never)
    async with asyncio.timeout(5):
        await publish_table("poll_news", Statistics())
        bar = CatchUpProgress("a catch-up")
        await bar.show(10.0)
    assert not bar.is_shown
