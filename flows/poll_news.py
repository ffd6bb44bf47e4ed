"""The news poll: one merged query for all tracked entities, from the cursor to now."""

from datetime import timedelta
from typing import Annotated, Any

import structlog
from prefect import flow, task
from prefect.client.schemas.objects import State
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import Article, AskNewsClient, Page
from flows.entities import EntityMatcher, load_tracked, search_names
from flows.monitoring import misfire, monitored, run_name
from flows.polling.budget import ARCHIVE_CREDITS, NEWS_CREDITS, BudgetExhausted, CreditBudget
from flows.polling.pages import poll_scopes
from flows.polling.retries import FETCH_OPTIONS
from flows.polling.run import PollingRun, polling_run
from flows.polling.storage.articles import store_articles
from flows.polling.windows import Reach, Window

JOB_NAME = "poll_news"
# AskNews' entity lists in which a model or tool may be named. A Person is none: "Claude Dupont" rules out Claude.
EVIDENCE_TYPES = ("Product", "Technology", "Organization")
SLICE = timedelta(hours=6)

logger = structlog.stdlib.get_logger()


@task(
    name="fetch news page",
    task_run_name="news page at {offset}",
    **FETCH_OPTIONS,
)
async def fetch_news_page(
    client: AskNewsClient,
    budget: CreditBudget,
    names: list[str],
    window: Window,
    offset: int | str,
    page_size: int,
    archive: bool,  # a task's arguments are shown in Prefect by name
) -> Page[Article]:
    """One page of news, paid from the budget at each attempt."""
    async with budget.spend(ARCHIVE_CREDITS if archive else NEWS_CREDITS) as receipt:
        page = await client.search_news(
            names=names, start=window.start, end=window.end, offset=offset, page_size=page_size, archive=archive
        )
        receipt.actual = page.credits
    return page


class NewsFeed:
    """Articles that mention any tracked entity, linked to every one that they mention."""

    def __init__(self, run: PollingRun, page_size: int) -> None:
        self._run = run
        self._page_size = page_size
        entities = load_tracked()
        self._names = search_names(entities)
        self._matcher = EntityMatcher(entities)

    @property
    def page_size(self) -> int:
        """Rows that one page holds: what was asked for, or the plan's cap once it is known."""
        return self._run.client.news_page_size(self._page_size)

    async def fetch(self, window: Window, offset: int | str) -> Page[Article]:
        """One page, after all retries."""
        run = self._run
        archive = window.needs_archive(run.now)
        if archive:
            run.statistics.archive_requests += 1
            logger.warning("archive_needed", window_start=str(window.start), credits=ARCHIVE_CREDITS)
        return await fetch_news_page(run.client, run.budget, self._names, window, offset, self._page_size, archive)

    async def store(self, connection: AsyncConnection, page: Page[Article]) -> None:
        """The page's articles, their links and rejects, within the caller's transaction."""
        links = {article.article_id: self._mentioned(article) for article in page.records}
        counts = await store_articles(connection, [article.model_dump() for article in page.records], links)
        await self._run.count_page(connection, page, counts, links.values())

    def _mentioned(self, article: Article) -> tuple[str, ...]:
        text = "\n".join(
            (article.title, article.english_title or "", article.summary, *article.key_points, *article.keywords)
        )
        evidence = [name for kind in EVIDENCE_TYPES for name in article.entities.get(kind, ())]
        return self._matcher.mentioned(text, evidence, people=article.entities.get("Person", ()))


@monitored
@flow(
    name=JOB_NAME,
    flow_run_name=run_name,
    # Two attempts stay below the 15 minutes of the schedule: see PAGING_SECONDS.
    retries=1,
    retry_delay_seconds=30,
    timeout_seconds=400,
)
async def poll_news(
    misfire_grace_seconds: Annotated[
        int,
        Field(
            ge=1,
            description="A scheduled run that starts later than this does no work; the next one does. One that no "
            "worker has taken after 60 s is cancelled in any case.",
        ),
    ] = 60,
    lookback_hours: Annotated[
        int, Field(ge=1, le=48, description="How far back the very first poll reaches, in hours.")
    ] = 24,
    overlap_minutes: Annotated[
        int, Field(ge=0, le=360, description="Each poll reaches back this far over the last, for late arrivals.")
    ] = 15,
    page_size: Annotated[
        int, Field(ge=1, le=100, description="Articles to ask for per request; plans may cap it.")
    ] = 50,
) -> State[Any]:
    """Fetch the news about the tracked AI models and tools that AskNews has crawled since the last poll.

    Ends `Completed` when everything was stored, `PartialFailure` when some pages or records could not be, `Skipped`
    when it started too late or the request budget is spent, and `Failed` when no request succeeded.
    """
    if skipped := await misfire(misfire_grace_seconds):
        return skipped
    async with polling_run(JOB_NAME) as run:
        reach = Reach(timedelta(hours=lookback_hours), timedelta(minutes=overlap_minutes), slice=SLICE)
        try:
            await poll_scopes(run, {"": NewsFeed(run, page_size)}, reach)
        except BudgetExhausted as error:
            return await run.skip(reason="budget", message=str(error))
        return await run.finish()
