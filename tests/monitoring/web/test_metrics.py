"""What Prometheus reads, by its own parser."""

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.monitoring.alarms.audience import read_audience
from flows.monitoring.alarms.refusals import note_deliveries
from flows.monitoring.alarms.silences import silence
from flows.monitoring.verdicts.report import read_report
from flows.monitoring.web.metrics import metrics_of
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import MINUTE, expected, ran, seed, seed_healthy
from tests.monitoring.web.serving import asking

Samples = dict[tuple[str, str], float]


def samples_of(text: str) -> Samples:
    """The samples by their name and the first of their labels' values."""
    return {
        (sample.name.removeprefix("vibecheck_"), next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def metrics(connection: AsyncConnection) -> str:
    return metrics_of(await read_report(connection, Settings()), await read_audience(connection))


async def test_they_say_when_each_job_last_succeeded_and_is_due(sqlite_database: AsyncEngine) -> None:
    now = await seed_healthy(sqlite_database)
    await seed(sqlite_database, [expected("new", now, every_minutes=60, since=now, next_run_at=now + MINUTE)])
    async with sqlite_database.connect() as connection:
        samples = samples_of(await metrics(connection))
    ended = now - MINUTE + timedelta(seconds=4)
    assert samples["job_last_success_timestamp_seconds", "poll_news"] == pytest.approx(ended.timestamp())
    assert samples["job_last_run_timestamp_seconds", "poll_news"] == pytest.approx((now - MINUTE).timestamp())
    assert samples["job_next_run_timestamp_seconds", "new"] > now.timestamp()
    assert samples["job_healthy", "new"] == 1
    # What has not happened yet has no time.
    assert ("job_last_success_timestamp_seconds", "new") not in samples
    assert (samples["budget_used", "AskNews credits"], samples["budget_limit", "AskNews credits"]) == (45, 20_000)


async def test_they_say_what_the_endpoint_says(sqlite_database: AsyncEngine, sqlite_url: str) -> None:
    now = await seed_healthy(sqlite_database)
    odd = 'a "flow" \\ with\nlines/{{ x }}'
    jobs = [expected(name, now, expectations={"owner": "data", "severity": "low"}) for name in ("failing", odd)]
    await seed(sqlite_database, jobs, [ran("failing", now - MINUTE * n, "failure") for n in range(1, 5)])
    async with asking(sqlite_url) as client:
        health, answer = await client.get("/health/scheduler"), await client.get("/metrics")
    samples = samples_of(answer.text)
    assert answer.status_code == 200
    assert samples["healthy", ""] == (health.status_code == 200) == 0
    for name, job in health.json()["jobs"].items():
        assert samples["job_healthy", name] == (job["status"] != "unhealthy"), name
    (info,) = [line for line in answer.text.splitlines() if line.startswith('vibecheck_job_info{job_name="failing"')]
    assert info.endswith('owner="data",reason="failing",severity="low",verdict="unhealthy"} 1.0')
    assert "It broke" not in answer.text


async def test_they_say_who_is_not_told(sqlite_database: AsyncEngine) -> None:
    now = await seed_healthy(sqlite_database)
    async with sqlite_database.begin() as connection:
        await silence(connection, ["poll_news"], until=now + MINUTE, reason="moving")
        await note_deliveries(connection, {"owner data": "404 no such room"}, ["owner data"], now - MINUTE)
        samples = samples_of(await metrics(connection))
    assert (samples["job_silenced", "poll_news"], samples["job_silenced", "poll_stories"]) == (1, 0)
    since = samples["receiver_refusing_since_timestamp_seconds", "owner data"]
    assert since == pytest.approx((now - MINUTE).timestamp())
