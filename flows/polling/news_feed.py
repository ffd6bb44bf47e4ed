"""The news: one merged query for all tracked entities."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import Article, AskNewsClient, Page
from flows.asknews.articles import crawl_time_of
from flows.entities import EntityMatcher, evidence_of
from flows.polling.budget import ARCHIVE_CREDITS, NEWS_CREDITS, CreditBudget
from flows.polling.feeds import Stored
from flows.polling.storage.articles import store_articles, stored_ids
from flows.polling.storage.rejected import rejected_again
from flows.polling.windows import Window

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
        """Return how many articles that were crawled in the window are stored, or were rejected more than once.

        One that was rejected once may have been spoilt on its way: it is missing, so that it is read again.
        """
        stored = {str(article_id) for article_id in await stored_ids(connection, window.start, window.end)}
        # A record is rejected after it was crawled; what AskNews corrected since is stored as well.
        rejected = [
            external_id
            for external_id, raw in await rejected_again(connection, "article", window.start)
            if (at := crawl_time_of(raw)) is not None and window.start <= at <= window.end
        ]
        return len(stored) + sum(external_id is None or external_id.lower() not in stored for external_id in rejected)

    def _mentioned(self, article: Article) -> tuple[str, ...]:
        text = "\n".join(
            (article.title, article.english_title or "", article.summary, *article.key_points, *article.keywords)
        )
        return self._matcher.mentioned(text, evidence_of(article.entities), people=article.entities.get("Person", ()))
