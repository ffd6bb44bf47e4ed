"""The stories: AskNews has no merged query for them, so there is a feed for each tracked entity."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AskNewsClient, Page, Story
from flows.entities import EntityMatcher, evidence_of
from flows.polling.budget import STORIES_CREDITS, CreditBudget
from flows.polling.feeds import Stored
from flows.polling.storage.stories import store_stories
from flows.polling.windows import Window


class StoriesFeed:
    """The stories that AskNews finds for one entity, linked to every tracked entity that they mention."""

    endpoint = "stories"
    # Which of a story's times AskNews compares with the window is not documented.
    measures_lateness = False

    def __init__(
        self,
        client: AskNewsClient,
        budget: CreditBudget,
        entity: str,
        matcher: EntityMatcher,
        page_size: int,
        reddit_threads: int,
    ) -> None:
        self.name = f"stories about {entity}"
        self.page_size = page_size
        self._client = client
        self._budget = budget
        self._entity = entity
        self._matcher = matcher
        self._reddit_threads = reddit_threads

    def key(self, record: Story) -> UUID:
        """Return the story's id."""
        return record.story_id

    def time(self, record: Story) -> datetime | None:  # noqa: ARG002  # a feed's
        """Return None, as it is not known."""
        return None

    async def fetch(self, window: Window, offset: int | str) -> Page[Story]:
        """Return one page, paid from the budget."""
        async with self._budget.spend(STORIES_CREDITS) as receipt:
            page = await self._client.list_stories(
                query=self._entity,
                start=window.start,
                end=window.end,
                offset=offset,
                page_size=self.page_size,
                reddit_threads=self._reddit_threads,
            )
            receipt.actual = page.credits
        return page

    async def store(self, connection: AsyncConnection, page: Page[Story]) -> Stored:
        """Store the page's stories with their series, threads and links, within the caller's transaction."""
        links = {story.story_id: self._mentioned(story) for story in page.records}
        counts = await store_stories(connection, [story.model_dump() for story in page.records], links)
        new = [story.updated_at for story in page.records if story.story_id in counts.new]
        return Stored(counts, list(links.values()), new)

    def _mentioned(self, story: Story) -> tuple[str, ...]:
        text = "\n".join((story.headline, story.summary, *story.topics, *story.keywords))
        recognised = [update.entities for update in story.updates]
        evidence = [name for entities in recognised for name in evidence_of(entities)]
        people = [*story.people, *(name for entities in recognised for name in entities.get("Person", ()))]
        return self._matcher.mentioned(text, evidence, people=people)
