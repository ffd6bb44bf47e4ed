"""What is told, to a real Prefect server and a real receiver: once, and again until it is delivered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.server.notifications import apprise_block
from flows.database.engine import create_engine
from flows.monitoring.alarms import publish as publishing
from flows.monitoring.alarms.silences import lift, silence
from flows.monitoring.jobs.deployments import read_live_jobs
from flows.monitoring.jobs.workers import AbsentWorker, absent_workers
from flows.settings import Settings
from tests.monitoring.alarms.working import NEWS, overdue, settings, told, work
from tests.monitoring.verdicts.seeding import MINUTE, expected, ran, seed
from tests.support.prefect_server import PrefectServer, wait_until
from tests.support.receiver import Receiver, running_receiver

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


def events(prefect: PrefectServer, name: str, since: datetime, *, count: int) -> list[dict[str, Any]]:
    """So many events that were emitted after `since`, once the server, which writes them in batches, has that many."""

    def found() -> list[dict[str, Any]]:
        answer = prefect.api(
            "events/filter", filter={"event": {"name": [name]}, "occurred": {"since": since.isoformat()}}
        )
        return answer["events"] if len(answer["events"]) >= count else []

    return wait_until(found, seconds=20, what=f"{count} events {name}")


async def test_a_change_is_told_once_with_all_that_an_operator_needs(
    prefect: PrefectServer, client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    first, second, third = await work(client, engine, settings(receiver), times=3)
    assert first.notices == []
    assert third.notices == []
    assert second.is_told
    assert told(receiver) == ["poll_news has been overdue"]
    (body,) = receiver.bodies
    there = prefect.api_url.removesuffix("/api")
    for part in ("poll_news is overdue.", "every 15 min", "Last error: It broke.", there):
        assert part in body
    (event,) = events(prefect, "vibecheck.job.overdue", now, count=1)
    assert event["resource"]["prefect.resource.id"] == "vibecheck.job.poll_news"
    assert event["payload"]["subject"] == receiver.subjects[0]
    judged = [each["resource"]["prefect.resource.id"] for each in events(prefect, "vibecheck.job.judged", now, count=6)]
    assert sorted(judged) == ["vibecheck.job.pipeline_status"] * 3 + ["vibecheck.job.poll_news"] * 3


async def test_two_status_flows_at_once_tell_and_then_no_more(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS)
    await work(client, engine, settings(receiver))
    other = create_engine(engine.url.render_as_string(hide_password=False))
    await asyncio.gather(*(work(client, each, settings(receiver), times=2) for each in (engine, other)))
    await other.dispose()
    # At least once: each may have sent it before the other noted that it had.
    assert set(told(receiver)) == {"poll_news has been overdue"}
    assert len(told(receiver)) <= 2
    before = len(told(receiver))
    await work(client, engine, settings(receiver), times=2)
    assert len(told(receiver)) == before


async def test_jobs_that_go_down_together_are_one_message(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS, "poll_stories")
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver) == ["2 jobs: poll_news has been overdue; poll_stories has been overdue"]


async def test_more_jobs_than_one_message_takes_are_told_of_in_the_next_ones(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MOST_CHANGES", 2)
    await overdue(engine, *(f"job_{number}" for number in range(5)))
    await work(client, engine, settings(receiver), times=6)
    assert told(receiver) == [
        "2 jobs: job_0 has been overdue; job_1 has been overdue",
        "2 jobs: job_2 has been overdue; job_3 has been overdue",
        "job_4 has been overdue",
    ]


async def test_recovery_is_told_with_the_length_of_the_outage(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    await work(client, engine, settings(receiver), times=2)
    await seed(engine, rows=[ran(NEWS, now - 6 * MINUTE)])
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver)[1:] == ["poll_news recovered after 4 min"]
    assert "All 2 jobs are healthy." in receiver.bodies[1]


async def test_a_receiver_that_was_away_gets_the_message_once(
    prefect: PrefectServer, client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    receiver.status = 500
    outcomes = await work(client, engine, settings(receiver), times=4)
    assert [outcome.is_told for outcome in outcomes] == [True, False, False, False]
    assert receiver.refused == 3
    receiver.status = 200
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver) == ["poll_news has been overdue"]
    # The first judgement had nothing to tell; the next three could not tell it, so the server was not reassured.
    judged = [each["resource"]["prefect.resource.id"] for each in events(prefect, "vibecheck.job.judged", now, count=8)]
    assert sorted(judged) == ["vibecheck.job.pipeline_status"] * 4 + ["vibecheck.job.poll_news"] * 4


async def test_an_outage_that_is_over_before_it_is_told_is_one_message(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    receiver.status = 500
    await work(client, engine, settings(receiver), times=2)
    await seed(engine, rows=[ran(NEWS, now - 6 * MINUTE)])
    receiver.status = 200
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver) == ["poll_news recovered after 4 min"]


async def test_a_job_that_stays_unhealthy_is_told_at_the_interval(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS)
    await work(client, engine, settings(receiver), times=3)
    await work(client, engine, settings(receiver, reminder_seconds=0.001))
    assert told(receiver)[1:] == ["poll_news is still overdue after 10 min"]


async def test_an_unhealthy_job_is_told_of_when_its_silence_ends(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    async with engine.begin() as connection:
        await silence(connection, [NEWS], until=now + 60 * MINUTE, reason="moving house")
    outcomes = await work(client, engine, settings(receiver), times=3)
    assert told(receiver) == []
    assert all(outcome.is_told for outcome in outcomes)
    async with engine.begin() as connection:
        assert await lift(connection, [NEWS]) == [NEWS]
    await work(client, engine, settings(receiver), times=2)
    assert told(receiver) == ["poll_news has been overdue"]


async def test_the_end_of_what_was_told_is_told_in_a_silence_as_well(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    await work(client, engine, settings(receiver), times=2)
    async with engine.begin() as connection:
        await silence(connection, [NEWS], until=None, reason="on it")
    await work(client, engine, settings(receiver, reminder_seconds=0.001))
    assert len(told(receiver)) == 1
    await seed(engine, rows=[ran(NEWS, now - 6 * MINUTE)])
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver)[1:] == ["poll_news recovered after 4 min"]


async def test_without_a_receiver_all_else_works_and_nothing_piles_up(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS)
    outcomes = await work(client, engine, settings(None), times=3)
    assert outcomes[1].notices
    assert not outcomes[2].is_told
    await work(client, engine, settings(receiver), times=2)
    assert told(receiver) == []


async def test_a_job_without_a_receiver_is_trouble_though_others_have_one(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS)
    of_an_owner = settings(None, notification_by_owner={"data": receiver.apprise_url})
    assert [each.is_told for each in await work(client, engine, of_an_owner, times=3)] == [True, False, False]


async def test_a_job_retired_before_anybody_is_told_is_not_told_of(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    now = await overdue(engine, NEWS)
    receiver.status = 500
    await work(client, engine, settings(receiver), times=2)
    await seed(engine, [expected(NEWS, now, retired_at=now)])
    receiver.status = 200
    await work(client, engine, settings(receiver), times=3)
    assert told(receiver) == []


async def test_the_table_in_prefects_ui_has_a_line_for_each_job(
    prefect: PrefectServer, client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await overdue(engine, NEWS)
    await work(client, engine, settings(receiver))
    (artifact,) = prefect.api("artifacts/latest/filter", artifacts={"key": {"any_": ["pipeline-status"]}})
    assert "poll_news" in artifact["description"]
    rows = json.loads(artifact["data"])
    assert [(row["job"], row["verdict"]) for row in rows] == [(NEWS, "overdue"), ("pipeline_status", "healthy")]


async def test_a_block_that_exists_is_notified_through_by_its_name(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    await apprise_block(receiver.apprise_url).asave("alarms", overwrite=True)
    await overdue(engine, NEWS)
    await work(client, engine, settings(None, notification="slack-webhook/alarms"), times=2)
    assert told(receiver) == ["poll_news has been overdue"]


async def test_a_custom_webhook_is_asked_once_and_known_to_refuse(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver
) -> None:
    webhook = CustomWebhookNotificationBlock(
        name="Alarms",
        url=f"http://127.0.0.1:{receiver.port}/alarms",
        json_data={"title": "{{subject}}", "message": "{{body}}"},
        headers=None,
        cookies=None,
    )
    await webhook.asave("alarms", overwrite=True)
    await overdue(engine, NEWS)
    receiver.status = 302
    refused = await work(client, engine, settings(None, notification="custom-webhook/alarms"), times=2)
    assert (refused[1].is_told, receiver.refused) == (False, 1)
    receiver.status, receiver.answer = 200, b" " * 2_000_000
    (unread,) = await work(client, engine, settings(None, notification="custom-webhook/alarms"))
    assert not unread.is_told
    receiver.answer = b""
    await work(client, engine, settings(None, notification="custom-webhook/alarms"), times=2)
    assert told(receiver) == ["poll_news has been overdue"] * 2
    assert "Since: " in receiver.bodies[0]


async def test_a_missing_block_is_trouble_that_nobody_can_be_told_of(
    client: PrefectClient, engine: AsyncEngine
) -> None:
    await overdue(engine, NEWS)
    _, second = await work(client, engine, Settings.model_validate({"notification": "slack-webhook/none"}), times=2)
    assert not second.is_told


async def test_the_receivers_address_is_never_logged(
    client: PrefectClient, engine: AsyncEngine, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    secret = f"json://somebody:sentinel-password@127.0.0.1:{receiver.port}/sentinel-path"
    await overdue(engine, NEWS)
    await work(client, engine, Settings.model_validate({"notification": secret}), times=2)
    output = "".join(capfd.readouterr())
    assert receiver.refused == 1
    assert "notification_not_delivered" in output
    assert "sentinel" not in output


async def test_a_job_has_no_worker_when_nobody_polls_its_work_pool(client: PrefectClient) -> None:
    pool = await client.create_work_pool(WorkPoolCreate(name="lonely", type="process"))
    deployment_id = await client.create_deployment(
        await client.create_flow_from_name("lonely_job"), "scheduled", tags=["monitored"], work_pool_name=pool.name
    )

    async def absent() -> dict[str, AbsentWorker | None]:
        return await absent_workers(client, await read_live_jobs(client, datetime.now(UTC)))

    assert await absent() == {"lonely_job": AbsentWorker("lonely", None)}
    await client.update_work_pool(pool.name, WorkPoolUpdate(is_paused=True))
    assert await absent() == {"lonely_job": None}
    await client.update_work_pool(pool.name, WorkPoolUpdate(is_paused=False))
    await client.send_worker_heartbeat(pool.name, "worker", heartbeat_interval_seconds=30)
    assert await absent() == {"lonely_job": None}
    await client.delete_deployment(deployment_id)
