"""The endpoint, on a real database that also breaks."""

import asyncio
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import create_engine
from flows.monitoring.jobs.registry import AbsentWorker, note_absent_workers
from flows.monitoring.web.app import ANSWER_SECONDS
from flows.settings import Settings
from tests.database.proxy import proxied
from tests.monitoring.verdicts.seeding import MINUTE, clock, expected, ran, seed, seed_healthy
from tests.monitoring.web.serving import PATIENCE_SECONDS, asking, running_health, until

SENTINEL = "sentinel_7c1f_password"


async def verdict_of(database_url: str, **settings: Any) -> tuple[int, dict[str, Any]]:
    """The status code and the JSON of one request."""
    async with asking(database_url, **settings) as client:
        response = await client.get("/health/scheduler")
        return response.status_code, response.json()


async def test_200_when_every_job_is_healthy(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    status_code, document = await verdict_of(database_url)
    assert status_code == 200
    assert (document["status"], document["reason"]) == ("healthy", None)
    assert set(document["jobs"]) == {"poll_news", "poll_stories", "pipeline_status"}
    news = document["jobs"]["poll_news"]
    assert (news["status"], news["reason"], news["warnings"]) == ("healthy", None, [])
    assert news["last_run"] == (now - MINUTE).isoformat().replace("+00:00", "Z")
    assert 60 <= news["age_seconds"] < 120
    assert news["interval_seconds"] == 900


async def test_503_names_the_overdue_job_and_keeps_the_others_healthy(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("nightly", now, every_minutes=60)], [ran("nightly", now - 3 * 60 * MINUTE)])
    status_code, document = await verdict_of(database_url)
    assert status_code == 503
    assert (document["status"], document["reason"]) == ("unhealthy", "jobs")
    assert document["explanation"] == "1 of 4 jobs is not healthy: nightly (overdue)."
    assert document["jobs"]["nightly"]["status"] == "unhealthy"
    assert document["jobs"]["nightly"]["reason"] == "overdue"
    assert document["jobs"]["nightly"]["age_seconds"] >= 3 * 3600
    assert document["jobs"]["poll_news"]["status"] == "healthy"


async def test_a_job_that_was_due_is_503_unless_a_setting_says_200(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("new", now, since=now - 2 * MINUTE, next_run_at=now - MINUTE)])
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["jobs"]["new"]["status"]) == (503, "not_started")
    assert document["jobs"]["new"]["last_run"] is document["jobs"]["new"]["age_seconds"] is None
    status_code, document = await verdict_of(database_url, not_started_is_healthy=True)
    assert (status_code, document["jobs"]["new"]["status"]) == (200, "not_started")


async def test_a_new_job_is_200_before_its_first_tick(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("new", now, since=now)])
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["jobs"]["new"]["status"]) == (200, "not_started")


async def test_a_job_that_never_started_is_503_beyond_its_bound(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("new", now, since=now - 31 * MINUTE)])
    status_code, document = await verdict_of(database_url, not_started_is_healthy=True)
    assert (status_code, document["jobs"]["new"]["reason"]) == (503, "not_started")


async def test_a_paused_job_does_not_alarm(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    await seed(database, [expected("idle", now, paused=True)], [ran("idle", now - timedelta(days=9))])
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["jobs"]["idle"]["status"]) == (200, "paused")


async def test_503_when_nobody_watches(database: AsyncEngine, database_url: str) -> None:
    now = await clock(database)
    await seed(
        database,
        [expected("poll_news", now), expected("pipeline_status", now, every_minutes=5)],
        [ran("poll_news", now), ran("pipeline_status", now - 16 * MINUTE)],
    )
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["reason"]) == (503, "stale")
    assert document["jobs"]["poll_news"]["status"] == "healthy"


async def test_503_when_nothing_is_expected_to_run(database_url: str) -> None:
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["reason"], document["jobs"]) == (503, "no_jobs", {})
    assert "vibecheck apply" in document["explanation"]


async def test_a_job_without_a_worker_is_503(database: AsyncEngine, database_url: str) -> None:
    now = await seed_healthy(database)
    async with database.begin() as connection:
        await note_absent_workers(connection, {"poll_news": AbsentWorker("vibecheck", now)})
    status_code, document = await verdict_of(database_url)
    assert (status_code, document["jobs"]["poll_news"]["reason"]) == (503, "no_worker")
    # What has run since had a worker.
    await seed(database, rows=[ran("poll_news", await clock(database), "running")])
    assert (await verdict_of(database_url))[0] == 200


async def test_the_health_service_is_alive_without_a_database() -> None:
    async with asking(f"postgresql+asyncpg://user:{SENTINEL}@127.0.0.1:{_closed_port()}/none") as client:
        response = await client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize("path", ["/health/scheduler", "/metrics", "/"])
async def test_503_and_no_password_when_the_database_refuses(path: str) -> None:
    async with asking(f"postgresql+asyncpg://user:{SENTINEL}@127.0.0.1:{_closed_port()}/none") as client:
        response = await client.get(path)
    assert response.status_code == 503
    assert "database cannot be read" in response.text.replace("&#39;", "'")
    assert SENTINEL not in response.text


async def test_503_when_the_database_was_never_migrated(empty_database_url: str) -> None:
    status_code, document = await verdict_of(empty_database_url)
    assert (status_code, document["reason"], document["jobs"]) == (503, "database_unavailable", {})


async def test_503_when_the_configured_address_is_nonsense() -> None:
    status_code, document = await verdict_of(f"postgresql+asyncpg://user:{SENTINEL}@host:nonsense/name")
    assert (status_code, document["reason"]) == (503, "database_unavailable")


async def test_a_hanging_database_delays_nobody_and_is_read_again(postgresql_url: str) -> None:
    assert ANSWER_SECONDS < 2
    engine = create_engine(postgresql_url)
    await seed_healthy(engine)
    await engine.dispose()
    async with proxied(postgresql_url) as (proxy, address), asking(address) as client:
        assert (await client.get("/health/scheduler")).status_code == 200
        proxy.hang()
        await until(client, "database_unavailable")
        await _until_page(client, 503)
        assert (await client.get("/health")).status_code == 200
        proxy.flowing.set()
        await until(client, None)


async def test_a_database_that_was_restarted_is_read_again(postgresql_url: str) -> None:
    async with proxied(postgresql_url) as (proxy, address), asking(address) as client:
        assert (await client.get("/health/scheduler")).json()["reason"] == "no_jobs"
        proxy.cut()
        await until(client, "no_jobs")


async def test_many_requests_at_once_share_their_connections(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    await seed_healthy(engine)
    connections: list[int] = []
    with running_health(Settings.model_validate({"database_url": postgresql_url})) as base_url:
        async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=httpx.Limits(max_connections=50)) as client:

            async def ask(number: int) -> int:
                return (await client.get("/health/scheduler" if number % 10 else "/")).status_code

            async with engine.connect() as connection:
                requests = [asyncio.create_task(ask(number)) for number in range(300)]
                waiting = set(requests)
                while waiting:
                    _, waiting = await asyncio.wait(waiting, timeout=0.1)
                    connections.append(await _others(connection))
                # On a machine that is busy with tests, an answer may come too late.
                status_codes = {request.result() for request in requests}
                assert 200 in status_codes
                assert status_codes <= {200, 503}
    await engine.dispose()
    # One for the JSON and one for the page.
    assert 1 <= max(connections) <= 2


async def test_a_slash_at_the_end_is_answered_and_not_redirected(sqlite_url: str) -> None:
    async with asking(sqlite_url) as client:
        for method in ("GET", "HEAD"):
            response = await client.request(method, "/health/scheduler/", headers={"Host": "elsewhere.example"})
            assert (response.status_code, response.headers.get("location")) == (503, None)
        for path in ("/nothing/", "/openapi.json/"):
            assert (await client.get(path, headers={"Host": "elsewhere.example"})).status_code == 404


async def test_head_is_answered_like_get_without_a_body(sqlite_url: str) -> None:
    with running_health(Settings.model_validate({"database_url": sqlite_url})) as base_url:
        async with httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
            for path, status_code in (("/health", 200), ("/health/scheduler", 503), ("/", 200)):
                response = await client.head(path)
                assert (response.status_code, response.content) == (status_code, b"")


async def test_no_response_may_be_kept_or_embedded(sqlite_url: str) -> None:
    async with asking(sqlite_url) as client:
        for path in ("/health", "/health/scheduler", "/", "/openapi.json", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["Cache-Control"] == "no-store"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_nothing_can_be_changed_by_a_request(sqlite_url: str) -> None:
    async with asking(sqlite_url) as client:
        for path in ("/health", "/health/scheduler", "/"):
            assert (await client.post(path)).status_code == 405
            assert (await client.delete(path)).status_code == 405


def test_the_application_does_not_import_prefect() -> None:
    code = (
        "import sys, flows.monitoring.web.server; "
        "sys.exit(any(name.split('.')[0] == 'prefect' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def _until_page(client: httpx.AsyncClient, status_code: int) -> None:
    """Ask for the page until it has that status code. Each one is kept for five seconds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if (await client.get("/")).status_code == status_code:
                return
            await asyncio.sleep(0.05)


async def _others(connection: AsyncConnection) -> int:
    """How many other connections this database has now."""
    counted = await connection.scalar(
        text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    )
    await connection.commit()
    return int(counted or 0)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
