"""How long the poll's own loop takes for some 350 articles: `python -m benchmarks.fetching [--rounds N]`.

A first poll of 24 hours from the sandbox, with 10 articles a page and answers that come after 50 ms, into SQLite: one
request at a time and five at once, in turns, on the same data. Without Prefect, whose part `benchmarks.whole_poll` has.
"""

import asyncio
import logging
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import structlog
from pydantic import SecretStr

from benchmarks.sides import ratio, say
from deployments.sandbox import Fault
from flows.asknews.authentication import ApiKey
from flows.asknews.client import AskNewsClient
from flows.database.clock import database_now
from flows.database.engine import create_engine, reading
from flows.database.migrate import migrate
from flows.entities import EntityMatcher, load_tracked, search_names
from flows.polling.news_feed import NewsFeed
from flows.polling.pages import poll_scopes
from flows.polling.storage.entities import seed_entities
from flows.polling.windows import Reach
from tests.polling.runs import polling_run
from tests.support.sandbox_server import running_sandbox

ROUNDS = 4
REACH = Reach(lookback=timedelta(hours=24), overlap=timedelta(0), slice=timedelta(hours=6))
NAMES, MATCHER = search_names(load_tracked()), EntityMatcher(load_tracked())
ENTITIES = [(entity.name, entity.category) for entity in load_tracked()]


def main() -> None:
    """Measure, and print both medians and their ratio."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seconds: dict[int, list[float]] = {1: [], 5: []}
    with running_sandbox(page_cap=10, slot_seconds=296, requests_per_second=10_000.0, burst=100_000) as sandbox:
        sandbox.add_faults(Fault(kind="slow", path="/v1/news/*", times="forever", seconds=0.05))
        for number in range(ROUNDS + 1):
            for at_once, found in seconds.items():
                taken, pages, stored = asyncio.run(poll(sandbox.base_url, at_once))
                say(f"{at_once} at once: {taken:.2f} s, {pages} pages, {stored} articles")
                if number:
                    found.append(taken)
    middle, least, most = ratio(seconds[1], seconds[5])
    say(
        f"one at a time {statistics.median(seconds[1]):.2f} s, five at once {statistics.median(seconds[5]):.2f} s: "
        f"{middle:.2f} x faster ({least:.2f} to {most:.2f})"
    )


async def poll(address: str, at_once: int) -> tuple[float, int, int]:
    """Poll into an empty database, and return the seconds, the pages and the articles."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite+aiosqlite:///{Path(folder, 'poll.db')}")
        await migrate(engine)
        async with engine.begin() as connection:
            await seed_entities(connection, ENTITIES)
        async with reading(engine) as connection:
            run = polling_run(engine, now=await database_now(connection))
        run.requests_at_once = at_once
        client = AskNewsClient(
            base_url=address,
            authentication=ApiKey(SecretStr("ank_benchmark")),
            read_timeout_seconds=30,
            max_response_bytes=10**8,
            requests_per_second=10_000,
        )
        async with client:
            feed = NewsFeed(client, run.budget, NAMES, MATCHER, 50, now=run.now)
            began = time.perf_counter()
            await poll_scopes(run, {"": feed}, REACH)
            taken = time.perf_counter() - began
        await engine.dispose()
    return taken, run.statistics.pages, run.statistics.inserted


if __name__ == "__main__":
    main()
