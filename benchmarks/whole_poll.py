"""One whole poll of some 350 articles, beside other ways to do it: `python -m benchmarks.whole_poll --rivals FOLDER`.

A first poll of 24 hours into empty tables on PostgreSQL with fsync, from the sandbox, whose pages hold 10 articles and
come after 50 ms; with no pacing. Each side is a process that has everything imported.

- ours: `poll_news` as a run on a Prefect server: its states, log, checks, credits, links, cursor and statistics.
  Five requests at once, which the smallest of AskNews' plans allows; and one at a time, which is the setting's default.
- the rivals of `benchmarks/rivals.py`, with the environment in FOLDER/.venv, which has to be made by hand:
  `pip install 'dlt[postgres]' apscheduler sqlalchemy httpx psycopg2-binary`.
"""

import asyncio
import json
import logging
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.sides import ROOT, Measure, Side, answer, in_turns, keep, parser, say, side, table

LATENCY_SECONDS = 0.05
PAGE_CAP = 10
# Some 350 articles that mention a tracked entity in 24 hours.
SLOT_SECONDS = 296
KEY = "ank_benchmark"
ADDRESS, DATABASE, NAMES = "BENCHMARK_SANDBOX", "BENCHMARK_DATABASE", "BENCHMARK_NAMES"
OURS = {"ours": 5, "ours, one at a time": 1}
RIVALS = ("earlier", "dlt")
CASE = "a first poll"


def main() -> None:
    """Measure, and print one table."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--rivals", type=Path, help="a folder whose .venv has the rivals' packages")
    arguments = options.parse_args()
    if arguments.side:
        answer(polls())
        return
    from deployments.forking.plain_http import NOBODY
    from deployments.sandbox import Fault
    from tests.database.postgresql_server import postgresql_server, run_statements
    from tests.support.prefect_server import FROM_TEMPLATE, running_prefect
    from tests.support.sandbox_server import running_sandbox

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql_server(is_durable=True))
        sandbox = stack.enter_context(
            running_sandbox(page_cap=PAGE_CAP, slot_seconds=SLOT_SECONDS, requests_per_second=10_000.0, burst=100_000)
        )
        sandbox.add_faults(Fault(kind="slow", path="/v1/news/*", times="forever", seconds=LATENCY_SECONDS))
        (folder / "template").mkdir()
        (folder / "server").mkdir()
        environment = dict.fromkeys(FROM_TEMPLATE, "true")
        prefect = stack.enter_context(running_prefect(folder / "server", folder / "template", environment))
        sides: list[Side] = []
        for number, name in enumerate([*OURS, *(RIVALS if arguments.rivals else ())]):
            database = f"vibecheck_whole_poll_{number}"
            run_statements(server, f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
            url = server.set(database=database).render_as_string(hide_password=False)
            if name in OURS:
                own = {
                    **prefect.all_environment(), "PREFECT_API_SSL_CERT_FILE": str(NOBODY),
                    "ASKNEWS_API_URL": sandbox.base_url, "ASKNEWS_API_KEY": KEY,
                    "VIBECHECK_DATABASE_URL": url, "VIBECHECK_REQUESTS_PER_SECOND": "10000",
                    "VIBECHECK_REQUESTS_AT_ONCE": str(OURS[name]), "PREFECT_LOGGING_LEVEL": "ERROR",
                    "VIBECHECK_LOG_LEVEL": "WARNING",
                }  # fmt: skip
                sides.append(stack.enter_context(side(name, __file__, ROOT, own)))
            else:
                rival = {
                    ADDRESS: sandbox.base_url, NAMES: json.dumps(searched()), "HOME": str(folder),
                    DATABASE: url.replace("+asyncpg", "+psycopg2"), "RUNTIME__DLTHUB_TELEMETRY": "false",
                    "RUNTIME__LOG_LEVEL": "CRITICAL",
                }  # fmt: skip
                file = str(Path(__file__).with_name("rivals.py"))
                sides.append(stack.enter_context(side(name, file, arguments.rivals, rival)))
        in_turns(sides, [CASE], arguments.rounds)
        requests: dict[str, int] = {}
        for one in sides:
            # Once more, to tell how often each asks: in its first poll, another was perhaps still starting, and asking.
            before = len(sandbox.requests)
            one.measure(CASE)
            requests[one.name] = len(sandbox.requests) - before
            one.figures[CASE].pop()
        shown = {one.name: one.figures for one in sides}
        found = table("One whole poll", "seconds", shown)
        say("requests: " + ", ".join(f"{name} {number}" for name, number in requests.items()))
        keep(arguments.json, "whole_poll", sides, {**found, "requests": requests})


def searched() -> dict[str, list[str]]:
    """Each tracked entity, and what is searched for to find it."""
    from flows.entities import load_tracked, search_names

    return {entity.name: list(search_names([entity])) for entity in load_tracked()}


def polls() -> Measure:
    """Our side: a run of `poll_news` into empty tables, and the seconds that it took."""
    import structlog
    from sqlalchemy import text

    from flows.database.base import Base
    from flows.database.engine import create_engine
    from flows.database.migrate import migrate
    from flows.entities import load_tracked
    from flows.poll_news import poll_news
    from flows.polling.storage.entities import seed_entities
    from flows.polling.storage.tables import Article

    url = os.environ["VIBECHECK_DATABASE_URL"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(migrate(create_engine(url)))

    async def measure(_case: str) -> float:
        engine = create_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))
            await seed_entities(connection, [(entity.name, entity.category) for entity in load_tracked()])
        began = time.perf_counter()
        await poll_news()
        taken = time.perf_counter() - began
        async with engine.begin() as connection:
            stored = await connection.scalar(text(f"SELECT count(*) FROM {Article.__tablename__}"))  # noqa: S608  # ours
        await engine.dispose()
        if not stored:
            raise RuntimeError("Nothing was stored.")
        say(f"{stored} articles in {taken:.2f} s")
        return taken

    return measure


if __name__ == "__main__":
    main()
