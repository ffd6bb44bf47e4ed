"""To whom: a job's owner, its severity, the default; and what happens to what a receiver refuses."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Message, Notice
from flows.monitoring.alarms.notices import paragraphs_of
from flows.monitoring.alarms.receivers import names_for, receivers_of
from flows.monitoring.alarms.refusals import explain_refusals, note_deliveries, read_refusals
from flows.monitoring.alarms.tell import Told, tell
from flows.settings import Settings
from tests.support.receiver import Receiver

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


def compose(_receiver: str, notices: Sequence[Notice], closing: str) -> Message:
    paragraphs = paragraphs_of(notices, NOW, Links(deployments={}))
    return Message(prefix="VibeCheck", paragraphs=paragraphs, closing=closing or "That is all.", notices=notices)


def notice(name: str) -> Notice:
    return Notice(
        job_name=name, kind=Kind.ALARM, headline=f"{name} is stuck", text=f"{name}.", incident=name, since=NOW
    )


async def tell_of(settings: Settings, owed: dict[str, list[Notice]] | None = None, **owners: str | None) -> Told:
    receivers = receivers_of(settings)
    notices = [notice(name) for name in owners]
    routes = {name: names_for(receivers, owner, None) for name, owner in owners.items()}
    return await tell(receivers, routes, notices, compose, source="here", owed=owed or {})


def settings(everybody: Receiver | None, data: Receiver, **changes: Any) -> Settings:
    by_owner = {"data": data.apprise_url}
    default = everybody and everybody.apprise_url
    return Settings.model_validate({"notification": default, "notification_by_owner": by_owner, **changes})


async def test_each_receiver_gets_one_message_for_its_jobs(everybody: Receiver, data: Receiver) -> None:
    told = await tell_of(settings(everybody, data), a="data", b="Data", c="others", d=None)
    assert data.subjects == ["VibeCheck: 2 jobs: a is stuck; b is stuck"]
    assert everybody.subjects == ["VibeCheck: 2 jobs: c is stuck; d is stuck"]
    assert told.job_names == {"a", "b", "c", "d"}


async def test_what_a_receiver_refuses_goes_to_the_default_and_says_so(everybody: Receiver, data: Receiver) -> None:
    data.status = 500
    told = await tell_of(settings(everybody, data), a="data", c=None)
    assert everybody.subjects == ["VibeCheck: 2 jobs: a is stuck; c is stuck"]
    assert "'owner data' was to be told, and could not be" in everybody.bodies[0]
    assert told.job_names == {"a", "c"}
    assert told.outcomes["owner data"]
    assert told.outcomes["default"] is None


async def test_what_a_receiver_is_owed_goes_to_it_alone(everybody: Receiver, data: Receiver) -> None:
    owed = {"owner data": [notice("late")]}
    told = await tell_of(settings(everybody, data), owed, a="data", c=None)
    assert data.subjects == ["VibeCheck: 2 jobs: a is stuck; late is stuck"]
    assert everybody.subjects == ["VibeCheck: c is stuck"]
    assert told.job_names == {"a", "c"}
    data.status = 500
    told = await tell_of(settings(everybody, data), owed)
    assert told.outcomes["owner data"]
    assert len(everybody.subjects) == 1, "of what another took, and it has had, the default hears no more"


async def test_what_nobody_takes_is_not_told(data: Receiver) -> None:
    data.status = 500
    assert (await tell_of(settings(None, data), a="data")).job_names == frozenset()


def test_owner_and_severity_are_read_from_variables_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBECHECK_NOTIFICATION_BY_OWNER__DATA", "json://a")
    monkeypatch.setenv("VIBECHECK_NOTIFICATION_BY_SEVERITY", '{"low": "json://b"}')
    receivers = receivers_of(Settings(_env_file=None))  # pyright: ignore[reportCallIssue]  # its own argument
    assert names_for(receivers, "data", "low") == ["owner data", "severity low"]
    assert names_for(receivers, "others", "high") == []
    assert receivers["owner data"].setting == "VIBECHECK_NOTIFICATION_BY_OWNER__DATA"


async def test_a_refusing_receiver_is_known_until_it_takes_a_message(engine: AsyncEngine) -> None:
    async def note(outcomes: dict[str, str | None], configured: Sequence[str] = ("default", "owner data")) -> str:
        async with engine.begin() as connection:
            await note_deliveries(connection, outcomes, configured, NOW)
            refusals = await read_refusals(connection)
            seen.append(refusals[0].since if refusals else None)
            return explain_refusals(refusals, NOW)

    seen: list[datetime | None] = []
    assert await note({"owner data": "It answered 403."}) != ""
    assert "'owner data'" in await note({"default": None, "owner data": "It answered 404."})
    assert "404" in await note({"default": None})
    assert seen[0] == seen[1] == seen[2]
    assert await note({"owner data": None}) == ""
    assert await note({"owner data": "Again."}) != ""
    assert await note({}, ["default"]) == "", "a receiver that is no longer set is forgotten"
