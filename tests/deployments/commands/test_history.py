"""`vibecheck history`: what changed of a job, when, and who did it where Prefect says so."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.history import run_history
from deployments.failures import CommandFailed
from flows.database.engine import create_engine
from flows.monitoring.jobs.registry import ScheduleEntry, append_schedules
from flows.monitoring.verdicts.stored import Transition, change_verdict
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import clock, expected, interval_schedule, seed
from tests.support.served_prefect import serving

DEPLOYMENT = uuid4()
HOUR = timedelta(hours=1)


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    """A database in which a job was scheduled, paused, and resumed with another schedule; and then it was overdue."""
    engine = create_engine(sqlite_url)
    now = await clock(engine)
    await seed(engine, [expected("nightly", now, deployment_id=DEPLOYMENT), expected("other", now)])
    async with engine.begin() as connection:
        for age, minutes, paused in ((1_000 * HOUR, 5, False), (9 * HOUR, 15, False), (8 * HOUR, 15, True)):
            entry = ScheduleEntry(now - age, interval_schedule(minutes), paused)
            await append_schedules(connection, {"nightly": entry})
        await append_schedules(connection, {"nightly": ScheduleEntry(now - 5 * HOUR, interval_schedule(30), False)})
        overdue = Transition(
            job_name="nightly",
            from_status="not_started",
            to_status="unhealthy",
            reason="overdue",
            at=now - HOUR,
            details={},
        )
        assert await change_verdict(connection, overdue, from_reason=None)
    yield engine
    await engine.dispose()


def prefect(now: datetime) -> APIRouter:
    """A server that tells of two edits of the deployment, of one of them by whom."""
    router = APIRouter()

    def event(what: str, age: timedelta, payload: dict[str, Any], *related: dict[str, str]) -> dict[str, Any]:
        at = (now - age).isoformat()
        resource = {"prefect.resource.id": f"prefect.deployment.{DEPLOYMENT}"}
        return {
            "id": str(uuid4()), "event": f"prefect.deployment.{what}", "occurred": at, "received": at,
            "resource": resource, "related": list(related), "payload": payload,
        }  # fmt: skip

    @router.post("/events/filter")
    def events(body: dict[str, Any]) -> dict[str, Any]:
        assert body["filter"]["resource"]["id"] == [f"prefect.deployment.{DEPLOYMENT}"]
        person = {"prefect.resource.id": "user.1", "prefect.resource.role": "actor", "prefect.resource.name": "Ada"}
        changed = {"updated_fields": ["parameters"], "updates": {"parameters": {"to": {"password": "sentinel"}}}}
        found = [event("updated", 2 * HOUR, changed, person), event("created", 10 * HOUR, {"updated_fields": 5})]
        return {"events": found, "total": len(found), "next_page": None}

    return router


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The table's rows without their times."""
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row[1:]] for row in rows]


async def test_changes_are_told_in_their_order_with_who_made_them(
    engine: AsyncEngine, sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with serving(prefect(await clock(engine))):
        settings = Settings.model_validate({"database_url": sqlite_url})
        assert await run_history("nightly", since=timedelta(days=30), settings=settings) == 0
    assert lines(capsys) == [
        ["scheduled: every 5 min", ""],
        ["deployment created", ""],
        ["scheduled: every 15 min", ""],
        ["nothing is scheduled", ""],
        ["scheduled: every 30 min", ""],
        ["deployment updated: parameters", "Ada"],
        ["verdict: not_started → unhealthy (overdue)", ""],
    ]


async def test_a_warning_changes_no_verdict(
    engine: AsyncEngine, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    now = await clock(engine)
    async with engine.begin() as connection:
        for minutes, before, was, reason in (
            (3, "not_started", None, None),
            (2, "healthy", None, "lost_schedule"),
            (1, "healthy", "lost_schedule", None),
        ):
            change = Transition(
                job_name="other",
                from_status=before,
                to_status="healthy",
                reason=reason,
                at=now - timedelta(minutes=minutes),
                details={},
            )
            assert await change_verdict(connection, change, from_reason=was)
    await run_history("other", since=HOUR, settings=Settings.model_validate({"database_url": sqlite_url}))
    assert lines(capsys) == [["verdict: not_started → healthy"], ["warning: lost_schedule"], ["the warning is over"]]


@pytest.mark.usefixtures("engine")
async def test_without_the_server_the_database_tells_what_it_knows(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    settings = Settings.model_validate({"database_url": sqlite_url})
    assert await run_history("nightly", since=timedelta(hours=2), settings=settings) == 0
    said = capsys.readouterr().out
    assert "who" not in said, "a server of one's own knows nobody"
    assert "What was done to the deployment is not known: The Prefect server" in said
    assert "unhealthy (overdue)" in said
    with pytest.raises(
        CommandFailed, match=r"No such job: nightlu\. Did you mean nightly\? The jobs are: nightly, other\."
    ):
        await run_history("nightlu", settings=settings)
