"""What the polls of stories promise: stories that are shown late are found by the overlap, or when they are updated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.poll_stories import JOB_NAME, NEVER_SLICED
from flows.polling.pages import poll_scopes
from flows.polling.storage.cursors import stalest_scopes
from flows.polling.storage.lateness import read_late
from flows.polling.storage.tables import Story
from flows.polling.stories_feed import StoriesFeed
from flows.polling.windows import Reach
from tests.asknews.fakes import client_of, story
from tests.polling.runs import polling_run
from tests.polling.simulated import BEGIN, MATCHER
from tests.polling.test_source import seeded

ENTITIES = ["Claude", "Gemini", "Llama"]
REACH = Reach(timedelta(hours=48), timedelta(minutes=120), slice=NEVER_SLICED)
PAGE = 10


@dataclass(frozen=True)
class Told:
    """A story that was updated at these hours, the first time shown so many minutes later."""

    number: int
    updated: Sequence[float]
    late_minutes: float = 0

    def body(self, now: datetime) -> tuple[datetime, object] | None:
        """The story as it is shown `now`, and its time."""
        late = [self.late_minutes, *(0 for _ in self.updated)]
        times = [BEGIN + timedelta(hours=hours) for hours in self.updated]
        shown = [at for at, minutes in zip(times, late, strict=False) if at + timedelta(minutes=minutes) <= now]
        if not shown:
            return None
        return shown[-1], story(uuid=str(UUID(int=self.number)), updated_ts=int(shown[-1].timestamp()))


async def found(database: AsyncEngine, stories: Sequence[Told], *, hours: int) -> dict[UUID, datetime]:
    """Poll each hour, an entity at a time, and return the stories that are stored, with their times."""
    await seeded(database)
    now = BEGIN

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        start, end = (datetime.fromtimestamp(int(asked[f"{name}_timestamp"]), UTC) for name in ("start", "end"))
        bodies = [body for one in stories if (body := one.body(now)) is not None and start <= body[0] <= end]
        bodies.sort(key=lambda body: body[0], reverse=True)
        offset = int(asked["offset"])
        page = [body for _at, body in bodies[offset : offset + PAGE]]
        return httpx.Response(200, json={"stories": page, "offset": offset + len(page)})

    for _ in range(hours):
        run = polling_run(database, now=now)
        async with reading(database) as connection:
            (turn,) = await stalest_scopes(connection, JOB_NAME, ENTITIES, 1)
        async with client_of(answer) as client:
            feed = StoriesFeed(client, run.budget, turn, MATCHER, PAGE, 0)
            run.job_name = JOB_NAME
            await poll_scopes(run, {turn: feed}, REACH)
        now += timedelta(hours=1)
    async with reading(database) as connection:
        assert not await read_late(connection, now), "that is the lateness of the news"
        rows = await connection.execute(select(Story.story_id, Story.updated_at))
    return {row.story_id: row.updated_at for row in rows}


@pytest.mark.parametrize(
    ("late_minutes", "updated", "last"),
    [(0, [4], 4), (119, [4], 4), (0, [4, 9], 9), (600, [4, 15], 15), (600, [4], None)],
    ids=["at once", "within the overlap", "updated", "too late and updated again", "too late and never again"],
)
async def test_a_story_is_found_with_its_last_update(
    database: AsyncEngine, late_minutes: float, updated: list[float], last: float | None
) -> None:
    others = [Told(100 + number, [number / 2]) for number in range(40)]
    stored = await found(database, [Told(1, updated, late_minutes), *others], hours=24)
    assert stored.get(UUID(int=1)) == (None if last is None else BEGIN + timedelta(hours=last))
    assert len(stored) == len(others) + (last is not None)
