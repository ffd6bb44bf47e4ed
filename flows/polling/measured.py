"""What a poll of the news measures of AskNews' index: how far it has to reach back, and how late articles come."""

import logging
from datetime import timedelta

import structlog

from flows.asknews import Article
from flows.database.engine import reading
from flows.monitoring.log.rows import latest_runs
from flows.polling.feeds import Feed
from flows.polling.index_lateness import late_finds_of, lateness_measure
from flows.polling.overlap import RATE_OVER, overlap, settles_after
from flows.polling.positions import read_position
from flows.polling.run import PollingRun
from flows.polling.storage.articles import crawl_times
from flows.polling.storage.lateness import read_late
from flows.polling.windows import Reach

SLICE = timedelta(hours=6)
RUNS_A_DAY = 96

logger = structlog.stdlib.get_logger()


async def measured_reach(run: PollingRun, feed: Feed[Article], *, lookback: timedelta, least: timedelta) -> Reach:
    """Return how far this poll reaches: as far as was measured of AskNews' index and pages."""
    await run.pages.recall(run.engine, feed, run.now)
    async with reading(run.engine) as connection:
        position, _cursor = await read_position(connection, run.job_name, "")
        late = await read_late(connection, run.now)
        since = min(position.settled_until or run.now, run.now - RATE_OVER)
        known = await crawl_times(connection, since, run.now)
    settling = settles_after(late)
    reach_back = overlap(
        position, now=run.now, known=known, full_page=run.pages.full, settles_after=settling, least=least
    )
    logger.info("reach_measured", overlap=str(reach_back), settles_after=str(settling), full_page=run.pages.full)
    return Reach(lookback, reach_back, SLICE, settling)


async def note_lateness(run: PollingRun) -> None:
    """Measure how late articles are indexed, for the run's row; and warn where the polls hardly reach that far back."""
    async with reading(run.engine) as connection:
        late = await read_late(connection, run.now)
        day = await latest_runs(connection, run.job_name, RUNS_A_DAY)
    measure = lateness_measure(
        late,
        run.statistics.found_after_distribution(),
        gap_minutes=run.statistics.gap_minutes,
        late_finds=run.statistics.late_finds + late_finds_of(day),
    )
    run.measures.append(measure)
    logger.log(logging.WARNING if measure["warning"] else logging.INFO, "lateness_measured", **measure)
