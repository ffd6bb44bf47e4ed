"""Puts the sandbox together."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime

from fastapi import FastAPI

from deployments.sandbox.access import Access
from deployments.sandbox.api_routes import API_VERSION, api_router
from deployments.sandbox.articles import shared_newsroom
from deployments.sandbox.connections import Connections
from deployments.sandbox.content_files import load_content
from deployments.sandbox.control_routes import control_router
from deployments.sandbox.errors import install_error_handlers
from deployments.sandbox.faults import Fault, FaultBoard
from deployments.sandbox.gate import REMEMBERED_REQUESTS, Gate, NotedRequest
from deployments.sandbox.limits import Limits
from deployments.sandbox.search import Order, Search
from deployments.sandbox.state import Sandbox
from deployments.sandbox.stories import StoryDesk
from deployments.sandbox.timeline import DEFAULT_SLOT_SECONDS, Timeline


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    *,
    clock: Callable[[], datetime] = _utc_now,
    as_of: datetime | None = None,
    slot_seconds: int = DEFAULT_SLOT_SECONDS,
    late_share: float = 0.0,
    late_by_seconds: int = 600,
    page_cap: int = 10,
    order: Order = "newest_first",
    offset_tokens: bool = False,
    api_keys: Collection[str] | None = None,
    clients: Mapping[str, str] | None = None,
    token_lifetime_seconds: int = 3600,
    requests_per_second: float = 100.0,
    burst: int = 200,
    concurrency: int = 20,
    faults: Iterable[Fault] = (),
) -> FastAPI:
    """Make an AskNews-compatible application.

    News:
        clock: gives the sandbox's present, as an aware datetime. The same moment gives the same news.
        as_of: the moment (aware) whose news is served at the start, dated as if it were new, and then what followed
            it: for a reader whose own clock cannot be set. By default the news of the present.
        slot_seconds: on average 1.2 articles appear in so many seconds.
        late_share, late_by_seconds: the share of articles that searches find only so long after their crawl date.
        page_cap: the longest page of articles, whatever is asked for.
        order: how found articles are ordered; the real API promises nothing.
        offset_tokens: whether the next offset is an article's id instead of a number.
    Credentials:
        api_keys: the valid keys; by default every one that begins with `ank_`.
        clients: valid client ids with their secrets; by default every pair.
        token_lifetime_seconds: after which a token is refused, by `clock`.
    Limits: `requests_per_second`, refilling a bucket of `burst`, and `concurrency` requests at once.
    Faults: those that are on from the start; more can be posted to `/_sandbox/faults`.
    """
    content = load_content()
    origin = 0 if as_of is None else int((clock() - as_of).total_seconds())
    timeline = Timeline(
        slot_seconds=slot_seconds, late_share=late_share, late_by_seconds=late_by_seconds, origin=origin
    )
    newsroom = shared_newsroom()
    sandbox = Sandbox(
        clock=clock,
        access=Access(clock=clock, api_keys=api_keys, clients=clients, token_lifetime_seconds=token_lifetime_seconds),
        limits=Limits(requests_per_second=requests_per_second, burst=burst, concurrency=concurrency),
        faults=FaultBoard(faults),
        requests=deque[NotedRequest](maxlen=REMEMBERED_REQUESTS),
        connections=Connections(),
        search=Search(timeline, newsroom, page_cap, order, offset_tokens),
        stories=StoryDesk(content, timeline, newsroom, origin),
    )
    app = FastAPI(title="AskNews sandbox", version=API_VERSION)
    app.state.sandbox = sandbox
    app.include_router(api_router(sandbox))
    app.include_router(control_router(sandbox))
    install_error_handlers(app)
    app.add_middleware(
        Gate,
        clock=clock,
        faults=sandbox.faults,
        limits=sandbox.limits,
        requests=sandbox.requests,
        connections=sandbox.connections,
    )
    return app
