"""The stories poll: AskNews has no merged query for stories, so the tracked entities take turns."""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.asknews import AccessDenied
from flows.database.engine import reading
from flows.entities import EntityMatcher, load_tracked
from flows.monitoring import MisfireGrace, misfire, monitored, run_name
from flows.polling.artifacts import publish_table
from flows.polling.bounds import RUN_RETRIES, RUN_RETRY_DELAY_SECONDS, RUN_SECONDS
from flows.polling.budget import BUDGET_SPENT, BudgetExhausted
from flows.polling.pages import poll_scopes
from flows.polling.run import polling_run
from flows.polling.storage.cursors import stalest_scopes
from flows.polling.stories_feed import StoriesFeed
from flows.polling.windows import Reach

JOB_NAME = "poll_stories"
# The dear job stops before the cheap one: what the news will need is left to it.
NEWS_JOB = "poll_news"
# A call costs the same for any length of time, and there is no dearer archive: one window, however long the gap.
NEVER_SLICED = timedelta(days=3650)
# A source that ignores the window would cost ten times as much as with the news.
MOST_PAGES_OF_AN_ENTITY = 50


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
