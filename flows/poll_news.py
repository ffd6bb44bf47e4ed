"""The news poll: one merged query for all tracked entities, from the cursor to now."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import structlog
from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import Article, AskNewsClient, Page
from flows.asknews.articles import crawl_time_of
from flows.database.engine import reading
from flows.entities import EntityMatcher, evidence_of, load_tracked, search_names
from flows.monitoring import MisfireGrace, misfire, monitored, run_name
from flows.monitoring.log.rows import latest_runs
from flows.polling.artifacts import publish_table
from flows.polling.bounds import RUN_RETRIES, RUN_RETRY_DELAY_SECONDS, RUN_SECONDS
from flows.polling.budget import ARCHIVE_CREDITS, BUDGET_SPENT, NEWS_CREDITS, BudgetExhausted, CreditBudget
from flows.polling.feeds import Stored
from flows.polling.index_lateness import late_finds_of, lateness_measure
from flows.polling.overlap import RATE_OVER, overlap, settles_after
from flows.polling.pages import Sweep, poll_scopes
from flows.polling.positions import read_position
from flows.polling.run import PollingRun, polling_run
from flows.polling.storage.articles import crawl_times, store_articles, stored_ids
from flows.polling.storage.lateness import read_late
from flows.polling.storage.rejected import rejected_since
from flows.polling.windows import Reach, Window

JOB_NAME = "poll_news"
SLICE = timedelta(hours=6)
RUNS_A_DAY = 96

logger = structlog.stdlib.get_logger()


class NewsFeed:
    """Articles that mention any tracked entity, linked to every one that they mention."""

    name = "news"
    endpoint = "news"
    measures_lateness = True

    def __init__(
        self,
        client: AskNewsClient,
        budget: CreditBudget,
        names: Sequence[str],
        matcher: EntityMatcher,
        page_size: int,
        *,
        now: datetime,
    ) -> None:
        self.page_size = page_size
        self._client = client
        self._budget = budget
        self._names = names
        self._matcher = matcher
        self._now = now

    def key(self, record: Article) -> UUID:
        """Return the article's id."""
        return record.article_id

    def time(self, record: Article) -> datetime | None:
        """Return when the article was crawled."""
        return record.crawled_at

    async def fetch(self, window: Window, offset: int | str) -> Page[Article]:
        """Return one page, paid from the budget."""
        archive = window.needs_archive(self._now)
        if archive:
            self._budget.statistics.archive_requests += 1
            logger.warning("archive_needed", window_start=str(window.start), credits=ARCHIVE_CREDITS)
        async with self._budget.spend(ARCHIVE_CREDITS if archive else NEWS_CREDITS) as receipt:
            page = await self._client.search_news(
                names=self._names,
                start=window.start,
                end=window.end,
                offset=offset,
                page_size=self.page_size,
                archive=archive,
            )
            receipt.actual = page.credits
        return page

    async def store(self, connection: AsyncConnection, page: Page[Article]) -> Stored:
        """Store the page's articles and their links, within the caller's transaction."""
        links = {article.article_id: self._mentioned(article) for article in page.records}
        counts = await store_articles(connection, [article.model_dump() for article in page.records], links)
        times = [article.crawled_at for article in page.records if article.article_id in counts.new]
        return Stored(counts, list(links.values()), [at for at in times if at is not None])

    async def count(self, connection: AsyncConnection, window: Window) -> int:
        """Return how many articles that were crawled in the window are stored, or were rejected."""
        stored = {str(article_id) for article_id in await stored_ids(connection, window.start, window.end)}
        # A record is rejected after it was crawled; what AskNews corrected since is stored as well.
        rejected = [
            external_id
            for external_id, raw in await rejected_since(connection, "article", window.start)
            if (at := crawl_time_of(raw)) is not None and window.start <= at <= window.end
        ]
        return len(stored) + sum(external_id is None or external_id.lower() not in stored for external_id in rejected)

    def _mentioned(self, article: Article) -> tuple[str, ...]:
        text = "\n".join(
            (article.title, article.english_title or "", article.summary, *article.key_points, *article.keywords)
        )
        return self._matcher.mentioned(text, evidence_of(article.entities), people=article.entities.get("Person", ()))


async def measured_reach(run: PollingRun, feed: NewsFeed, *, lookback: timedelta, least: timedelta) -> Reach:
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


@monitored
@flow(
    name=JOB_NAME,
    flow_run_name=run_name,
    retries=RUN_RETRIES,
    retry_delay_seconds=RUN_RETRY_DELAY_SECONDS,
    timeout_seconds=RUN_SECONDS,
)
async def poll_news(
    misfire_grace_seconds: MisfireGrace = 60,
    lookback_hours: Annotated[int, Field(ge=1, le=48)] = 24,
    overlap_minutes: Annotated[int, Field(ge=0, le=360)] = 0,
    # More would take the archive, at five times the price, to prove that nothing is missing.
    sweep_hours: Annotated[int, Field(ge=7, le=46)] = 31,
    page_size: Annotated[int, Field(ge=1, le=100)] = 50,
) -> State[Any]:
    """Fetch the news about the tracked AI models and tools that AskNews has crawled since the last poll.

    Ends `Completed` when everything was stored, `PartialFailure` when some pages or records could not be, `Skipped`
    when it started too late or the request budget is spent, and `Failed` when no request succeeded.

    Args:
        misfire_grace_seconds: A scheduled run that starts later than this does no work; the next one does. One that no
            worker has taken after 60 s is cancelled in any case.
        lookback_hours: How far back the very first poll reaches, in hours.
        overlap_minutes: Each poll reaches back this far over the last, at least. How far it does follows from how late
            articles were indexed, and from what a page holds.
        sweep_hours: Every six hours it is proved that nothing of so many hours is missing, as far as counts prove it:
            an article that AskNews took away can hide one that came late.
        page_size: Articles to ask for per request; plans may cap it.
    """
    if skipped := await misfire(misfire_grace_seconds):
        return skipped
    async with polling_run(JOB_NAME) as run:
        entities = load_tracked()
        feed = NewsFeed(run.client, run.budget, search_names(entities), EntityMatcher(entities), page_size, now=run.now)
        reach = await measured_reach(
            run, feed, lookback=timedelta(hours=lookback_hours), least=timedelta(minutes=overlap_minutes)
        )
        try:
            await poll_scopes(run, {"": feed}, reach, Sweep(feed, timedelta(hours=sweep_hours)))
        except BudgetExhausted as error:
            return await run.skip(reason=BUDGET_SPENT, message=str(error))
        await note_lateness(run)
        state = await run.finish()
        await publish_table(JOB_NAME, run.statistics)
        return state
