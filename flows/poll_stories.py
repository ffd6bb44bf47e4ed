"""The stories poll: AskNews has no merged query for stories, so the tracked entities take turns."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.asknews import AccessDenied, AskNewsClient, Page, Story
from flows.database.engine import reading
from flows.entities import EntityMatcher, evidence_of, load_tracked
from flows.monitoring import MisfireGrace, misfire, monitored, run_name
from flows.polling.artifacts import publish_table
from flows.polling.bounds import RUN_RETRIES, RUN_RETRY_DELAY_SECONDS, RUN_SECONDS
from flows.polling.budget import BUDGET_SPENT, STORIES_CREDITS, BudgetExhausted, CreditBudget
from flows.polling.feeds import Stored
from flows.polling.pages import poll_scopes
from flows.polling.run import polling_run
from flows.polling.storage.cursors import stalest_scopes
from flows.polling.storage.stories import store_stories
from flows.polling.windows import Reach, Window

JOB_NAME = "poll_stories"
# The dear job stops before the cheap one: what the news will need is left to it.
NEWS_JOB = "poll_news"
# A call costs the same for any length of time, and there is no dearer archive: one window, however long the gap.
NEVER_SLICED = timedelta(days=3650)
# A source that ignores the window would cost ten times as much as with the news.
MOST_PAGES_OF_AN_ENTITY = 50


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


@monitored
@flow(
    name=JOB_NAME,
    flow_run_name=run_name,
    retries=RUN_RETRIES,
    retry_delay_seconds=RUN_RETRY_DELAY_SECONDS,
    timeout_seconds=RUN_SECONDS,
)
async def poll_stories(
    misfire_grace_seconds: MisfireGrace = 60,
    entities_per_run: Annotated[int, Field(ge=1, le=100)] = 1,
    lookback_hours: Annotated[int, Field(ge=1, le=720)] = 48,
    overlap_minutes: Annotated[int, Field(ge=0, le=1440)] = 120,
    page_size: Annotated[int, Field(ge=1, le=100)] = 10,
    reddit_threads: Annotated[int, Field(ge=0, le=50)] = 5,
) -> State[Any]:
    """Fetch the stories about the tracked AI models and tools, with their hourly sentiment in the press and on Reddit.

    Ends as poll_news does; and `Completed`, saying so, when the AskNews plan does not include stories. (A plan without
    any access looks the same here; then poll_news fails, and says it. An inactive subscription fails both.)

    Args:
        misfire_grace_seconds: A scheduled run that starts later than this does no work; the next one does. One that no
            worker has taken after 60 s is cancelled in any case.
        entities_per_run: How many entities one run asks for, the longest waiting first; 10 credits each.
        lookback_hours: How far back an entity's very first poll reaches, in hours.
        overlap_minutes: Each poll reaches back this far over the last, for stories that develop.
        page_size: Stories to ask for per request.
        reddit_threads: Reddit threads to ask for with each update of a story.
    """
    if skipped := await misfire(misfire_grace_seconds):
        return skipped
    async with polling_run(JOB_NAME, keeps_credits_for=NEWS_JOB) as run:
        run.most_pages = MOST_PAGES_OF_AN_ENTITY * entities_per_run
        entities = load_tracked()
        matcher = EntityMatcher(entities)
        async with reading(run.engine) as connection:
            turn = await stalest_scopes(
                connection, JOB_NAME, [entity.name for entity in entities], 1 if run.is_tight else entities_per_run
            )
        feeds = {name: StoriesFeed(run.client, run.budget, name, matcher, page_size, reddit_threads) for name in turn}
        reach = Reach(timedelta(hours=lookback_hours), timedelta(minutes=overlap_minutes), slice=NEVER_SLICED)
        try:
            await poll_scopes(run, feeds, reach)
        except BudgetExhausted as error:
            return await run.skip(reason=BUDGET_SPENT, message=str(error))
        except AccessDenied as error:
            return await run.finish_feature_off(error)
        state = await run.finish()
        await publish_table(JOB_NAME, run.statistics)
        return state
