"""What the polls of the news cost and lose: `python -m benchmarks.polling [--days N] [--seed N]`.

Set PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false before, or Prefect starts a server for the bar that a catch-up shows.

The real polls and a real database (SQLite), against a made-up index behind AskNews' HTTP API, in its own time: a run
each quarter of an hour. Seven days take some 25 s of CPU time for each line of the table; `--lag`, `--cap` or `--a-day`
measures one line alone.

- The index makes up articles at random moments, so many a day, and shows each of them late by its lag.
- "lost" are the articles that were crawled, and to be seen, in time for the last sweep, and are not stored.
- "in 30 days" is the first day, on which the polls also read the day before, and 29 times the mean of the others.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import mean

import structlog

from flows.database.engine import create_engine
from flows.database.migrate import migrate
from flows.entities import load_tracked
from flows.polling.storage.entities import seed_entities
from tests.polling.simulated import BEGIN, LAGS, Index, Poller, made_up

USUAL_CAP, USUAL_VOLUME = 10, 450
FEW_LATE = "10 % by 10 to 40 min"
# Lag, the plan's page cap, articles a day.
SCENARIOS = (
    *((lag, USUAL_CAP, USUAL_VOLUME) for lag in LAGS),
    *((FEW_LATE, cap, USUAL_VOLUME) for cap in (8, 12, 25)),
    *((FEW_LATE, USUAL_CAP, volume) for volume in (150, 1_500)),
)
# What the sweep reaches back, and an interval.
SETTLED = timedelta(hours=32)


def main() -> None:
    """Measure, and print one line of a Markdown table for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lag", choices=LAGS)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--a-day", type=int)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    tell(f"| lag | cap | a day | credits in {arguments.days} days | in 30 days | lost | of | found by the sweep |")
    tell("|--|--|--|--|--|--|--|--|")
    asked = arguments.lag, arguments.cap, arguments.a_day
    one = (arguments.lag or FEW_LATE, arguments.cap or USUAL_CAP, arguments.a_day or USUAL_VOLUME)
    for lag, cap, volume in [one] if any(asked) else SCENARIOS:
        tell(asyncio.run(measured(lag, cap, volume, days=arguments.days, seed=arguments.seed)))


def tell(line: str) -> None:
    """Print `line` at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def measured(lag: str, cap: int, volume: int, *, days: int, seed: int) -> str:
    """Poll for `days`, and return the table's line."""
    index = Index(made_up(hours=24 * days, a_day=volume, lag=LAGS[lag], seed=seed), cap=cap)
    with tempfile.TemporaryDirectory() as directory:
        engine = create_engine(f"sqlite+aiosqlite:///{Path(directory) / 'polls.db'}")
        await migrate(engine)
        async with engine.begin() as connection:
            await seed_entities(connection, [(entity.name, entity.category) for entity in load_tracked()])
        poller, spent = Poller(engine, index), list[int]()
        for _ in range(days):
            before = index.credits
            await poller.poll_for(24)
            spent.append(index.credits - before)
        until = index.now - SETTLED
        lost = len(await poller.missing(crawled_before=until))
        await engine.dispose()
    offered = sum(BEGIN - timedelta(hours=23) <= item.crawled_at < until for item in index.items)
    month = spent[0] + 29 * mean(spent[1:] or spent)
    found = sum(run.late_finds for run in poller.runs)
    return f"| {lag} | {cap} | {volume} | {sum(spent):,} | {month:,.0f} | {lost} | {offered:,} | {found} |"


if __name__ == "__main__":
    main()
