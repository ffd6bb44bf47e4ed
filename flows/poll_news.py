"""The news poll: one merged query for all tracked entities, from the cursor to now."""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.entities import EntityMatcher, load_tracked, search_names
from flows.monitoring import MisfireGrace, misfire, monitored, run_name
from flows.polling.artifacts import publish_table
from flows.polling.bounds import RUN_RETRIES, RUN_RETRY_DELAY_SECONDS, RUN_SECONDS
from flows.polling.budget import BUDGET_SPENT, BudgetExhausted
from flows.polling.measured import measured_reach, note_lateness
from flows.polling.news_feed import NewsFeed
from flows.polling.pages import Sweep, poll_scopes
from flows.polling.run import polling_run

JOB_NAME = "poll_news"


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
