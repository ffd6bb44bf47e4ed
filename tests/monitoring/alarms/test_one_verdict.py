"""Whatever says something about the jobs says the same of the same moment: message, run state, artifact, ping, event,
page, endpoint and `vibecheck status`.
"""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from html import unescape
from io import StringIO
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Artifact, State
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.status import Seen, render
from flows.database.engine import create_engine, reading
from flows.monitoring.alarms.artifact import ARTIFACT_KEY
from flows.monitoring.alarms.audience import read_audience
from flows.monitoring.alarms.ping import watched_from_outside
from flows.monitoring.alarms.publish import publish
from flows.monitoring.alarms.silences import silence
from flows.monitoring.jobs.registry import AbsentWorker
from flows.monitoring.verdicts.changes import judge
from flows.monitoring.verdicts.history import read_history
from flows.monitoring.verdicts.report import Report, read_report
from flows.monitoring.verdicts.wording import explain_job
from flows.monitoring.vocabulary import STATUS_FLOW, Reason, Verdict
from flows.monitoring.web.documents import document_of
from flows.monitoring.web.page import Snapshot, render_page
from flows.pipeline_status import state_of
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, interval_schedule, ran, ran_every, seed
from tests.monitoring.web.serving import asking
from tests.support.prefect_server import PrefectServer, wait_until
from tests.support.receiver import running_receiver

pytestmark = pytest.mark.end_to_end

NEWS = "poll_news"
Seeding = Callable[[AsyncEngine, datetime], Awaitable[None]]


async def not_started(engine: AsyncEngine, now: datetime) -> None:
    await seed(engine, [expected(NEWS, now, since=now - 60 * MINUTE)])


async def overdue(engine: AsyncEngine, now: datetime) -> None:
    await seed(engine, [expected(NEWS, now)], [ran(NEWS, now - 40 * MINUTE)])


async def stuck(engine: AsyncEngine, now: datetime) -> None:
    await seed(engine, [expected(NEWS, now)], [ran(NEWS, now - 20 * MINUTE, "running")])


async def failing(engine: AsyncEngine, now: datetime) -> None:
    await seed(engine, [expected(NEWS, now)], ran_every(NEWS, now, 15, 4, status="failure"))


async def without_success(engine: AsyncEngine, now: datetime) -> None:
    job = expected(NEWS, now, expectations={"stale_after": 1_800.0})
    await seed(engine, [job], [ran(NEWS, now - 40 * MINUTE), ran(NEWS, now - 5 * MINUTE, "partial_failure")])


async def without_schedule(engine: AsyncEngine, now: datetime) -> None:
    job = expected(NEWS, now, schedule=[], interval_seconds=0.0, since=now - 40 * MINUTE, planned_runs=0)
    await seed(engine, [job], [ran(NEWS, now - 50 * MINUTE)])


async def with_bad_schedule(engine: AsyncEngine, now: datetime) -> None:
    rule = {**interval_schedule(15)[0], "interval": None, "anchor": None, "rrule": "FREQ=DAILY;UNTIL=20271231T000000Z"}
    changes: dict[str, Any] = {"since": now - 40 * MINUTE, "planned_runs": 0, "next_run_at": None}
    job = expected(NEWS, now, schedule=[rule], interval_seconds=0.0, **changes)
    await seed(engine, [job], [ran(NEWS, now - 50 * MINUTE)])


async def healthy(engine: AsyncEngine, now: datetime) -> None:
    await seed(engine, [expected(NEWS, now)], ran_every(NEWS, now, 15, 4))


# What makes a job so. The status flow is stale only while nobody judges: when it judges again, that is over.
SITUATIONS: dict[Reason, Seeding] = {
    Reason.NOT_STARTED: not_started,
    Reason.OVERDUE: overdue,
    Reason.STUCK: stuck,
    Reason.FAILING: failing,
    Reason.NO_WORKER: healthy,
    Reason.NO_SUCCESS: without_success,
    Reason.NO_SCHEDULE: without_schedule,
    Reason.BAD_SCHEDULE: with_bad_schedule,
    Reason.STALE: healthy,
}


@pytest.fixture
async def engine(sqlite_url: str) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


async def shown(engine: AsyncEngine, settings: Settings) -> tuple[Seen, str]:
    """The report as endpoint, page and command read it, and the page."""
    async with reading(engine) as connection:
        report = await read_report(connection, settings)
        histories = {name: await read_history(connection, job.expected, report.at) for name, job in report.jobs.items()}
        audience = await read_audience(connection)
    page = render_page(Snapshot(report, histories, audience))
    words = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return Seen(report, audience), " ".join(unescape(words).split())


async def work(
    client: PrefectClient, engine: AsyncEngine, settings: Settings, absent: dict[str, AbsentWorker]
) -> tuple[Report, State[Any]]:
    """What the status flow does once it has repaired the log."""
    async with watched_from_outside(settings) as watch:
        report = await judge(engine, settings, absent)
        published = await publish(client, engine, settings, report)
        state = state_of(report, {}, published.audience)
        watch.summary = str(state.message)
    return report, state


def in_terminal(seen: Seen) -> str:
    """What `vibecheck status` prints."""
    console = Console(width=1_000, record=True, file=StringIO())
    console.print(render(seen))
    return console.export_text()


def created(artifact: Artifact) -> datetime:
    """When it was made."""
    assert artifact.created is not None
    return artifact.created


def payloads_of(prefect: PrefectServer, since: datetime) -> list[tuple[str, dict[str, Any]]]:
    """The names and payloads of the job's events, the newest first, once the server has written both judgements."""
    wanted = {"resource": {"id": [f"vibecheck.job.{NEWS}"]}, "occurred": {"since": since.isoformat()}}

    def written() -> list[tuple[str, dict[str, Any]]]:
        found = [(event["event"], event["payload"]) for event in prefect.api("events/filter", filter=wanted)["events"]]
        return found if sum(name == "vibecheck.job.judged" for name, _ in found) >= 2 else []

    return wait_until(written, seconds=60, what="the events of two judgements")


async def test_the_state_says_who_cannot_be_told_and_what_is_silenced(
    client: PrefectClient, engine: AsyncEngine
) -> None:
    now = await clock(engine)
    await SITUATIONS[Reason.OVERDUE](engine, now)
    async with engine.begin() as connection:
        await silence(connection, ["b", "a"], until=now + 48 * 60 * MINUTE, reason="on it")
    with running_receiver() as receiver:
        receiver.status = 500
        settings = Settings.model_validate({"notification": receiver.apprise_url})
        await work(client, engine, settings, {})
        _, state = await work(client, engine, settings, {})
    words = str(state.message)
    assert re.search(r"Alarms cannot be delivered to the receiver 'default' since .*500", words)
    assert re.search(r"a, b: Silenced until \d+ \w+ (\d+ )?\d\d:\d\d UTC: on it\.$", words)


@pytest.mark.parametrize("reason", list(Reason))
async def test_everything_says_the_same(
    reason: Reason, prefect: PrefectServer, client: PrefectClient, engine: AsyncEngine, sqlite_url: str
) -> None:
    now = await clock(engine)
    await SITUATIONS[reason](engine, now)
    last_report = now - 40 * MINUTE if reason == Reason.STALE else now - MINUTE
    watchdog = expected(STATUS_FLOW, now, every_minutes=5)
    await seed(engine, [watchdog], [ran(STATUS_FLOW, last_report)])
    absent = {NEWS: AbsentWorker("vibecheck", now - 3 * MINUTE)} if reason == Reason.NO_WORKER else {}
    with running_receiver() as receiver:
        settings = Settings.model_validate({"notification": receiver.apprise_url, "ping_url": receiver.http_url})
        await work(client, engine, settings, absent)
        report, state = await work(client, engine, settings, absent)
    # The status flow's own run ends, as its hook notes.
    await seed(engine, rows=[ran(STATUS_FLOW, await clock(engine))])
    read, page = await shown(engine, settings)

    is_bad = reason != Reason.STALE
    verdict, own = report.overall.verdict, report.jobs[NEWS].judgement
    assert verdict == (Verdict.UNHEALTHY if is_bad else Verdict.HEALTHY)
    assert own.reason == (reason if is_bad else None)
    summary = str(state.message)
    (body,) = receiver.bodies
    assert body.endswith(f"\n{summary}\nMore: vibecheck status")
    assert state.name == verdict.capitalize()
    assert receiver.accepted[-1].body == summary
    artifact = max(await client.read_artifacts(), key=created)
    assert (artifact.key, artifact.description) == (ARTIFACT_KEY, summary)
    document = document_of(read.report, read.audience)
    assert (document.explanation, document.status) == (summary, verdict)
    assert document.jobs[NEWS].reason == own.reason
    terminal = in_terminal(read)
    assert summary in page
    assert summary in terminal
    async with asking(sqlite_url) as monitor:
        answer = await monitor.get("/health/scheduler")
    assert answer.status_code == (503 if is_bad else 200)
    assert (answer.json()["explanation"], answer.json()["status"]) == (summary, verdict)
    assert answer.json()["jobs"][NEWS]["reason"] == own.reason

    # And of the job itself. An explanation has ages in it, so each is compared with what is true of its moment.
    (row,) = [row for row in json.loads(str(artifact.data)) if row["job"] == NEWS]
    assert row["explanation"] == explain_job(report.jobs[NEWS], report.at)
    assert row["verdict"].split(", ")[0] == (own.reason or own.verdict).replace("_", " ")
    words = explain_job(read.report.jobs[NEWS], read.report.at)
    assert document.jobs[NEWS].explanation == words
    assert words in page
    assert f"{NEWS}: {words}" in terminal
    payloads = payloads_of(prefect, now)
    judged = [payload for name, payload in payloads if name == "vibecheck.job.judged"]
    assert judged == [{"status": own.verdict, "reason": own.reason}] * 2
    turned = [payload for name, payload in payloads if name != "vibecheck.job.judged"]
    if is_bad:
        assert (turned[0]["to_status"], turned[0]["reason"]) == (own.verdict, own.reason)
        assert receiver.subjects == [turned[0]["subject"]]
