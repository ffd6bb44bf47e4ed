"""A thousand jobs, and fifty who ask at once."""

import asyncio

import httpx
from sqlalchemy import Engine, event

from flows.database.engine import create_engine
from flows.settings import Settings
from tests.monitoring.many_jobs import many
from tests.monitoring.web.serving import running_health

JOBS, CLIENTS = 1_000, 50


async def test_fifty_at_once_get_whole_answers_for_few_statements(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    await many(engine, JOBS)
    await engine.dispose()
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    with running_health(Settings.model_validate({"database_url": sqlite_url})) as base_url:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits) as client:
            event.listen(Engine, "before_cursor_execute", note)
            try:
                paths = ["/health/scheduler", "/"] * CLIENTS
                answers = await asyncio.gather(*(client.get(path) for path in paths))
            finally:
                event.remove(Engine, "before_cursor_execute", note)

    for path, answer in zip(paths, answers, strict=True):
        # On a machine that is busy with tests, an answer may come too late: it says so, and is whole as well.
        assert answer.status_code in (200, 503)
        if path == "/":
            assert answer.text.rstrip().endswith("</html>")
        else:
            document = answer.json()
            assert len(document["jobs"]) == (0 if document["reason"] == "database_unavailable" else JOBS)
    assert len(statements) < len(answers)
