"""The AskNews API."""

import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from deployments.sandbox.access import TokenRefused
from deployments.sandbox.articles import Article
from deployments.sandbox.damage import damage
from deployments.sandbox.faults import Fault, FaultKind
from deployments.sandbox.search import NewsQuery
from deployments.sandbox.state import Sandbox
from deployments.sandbox.stories import StoriesQuery

API_VERSION = "0.32.1"
ABSURD_CREDITS = 2**31 - 1


def api_router(sandbox: Sandbox) -> APIRouter:
    """Return the routes that AskNews has, as far as a pipeline needs them."""
    router = APIRouter()
    guarded = [Depends(sandbox.access.require)]

    @router.get("/")
    def ping() -> dict[str, str]:
        """Say what this is."""
        return {"app": "AskNews sandbox", "version": API_VERSION}

    @router.post("/oauth2/token")
    async def issue_token(request: Request) -> JSONResponse:
        """Exchange client credentials (HTTP Basic) for a token."""
        try:
            form = (await request.body()).decode("utf-8", errors="replace")
            return JSONResponse(sandbox.access.issue(request.headers.get("authorization", ""), form))
        except TokenRefused as refusal:
            return JSONResponse({"error": refusal.reason}, refusal.status)

    @router.get("/v1/news/search", dependencies=guarded)
    def search_news(query: Annotated[NewsQuery, Query()], request: Request) -> Response:
        """Search news articles."""
        fault = _fault(request)
        found = sandbox.search.find(query, sandbox.now(), fault and fault.kind)
        page_size = min(query.n_articles, sandbox.search.page_cap)
        items = damage(fault, [article.payload for article in found.articles], page_size=page_size)
        body: dict[str, object] = {
            "as_dicts": items if query.return_type in ("dicts", "both") else None,
            "as_string": _as_string(found.articles) if query.return_type in ("string", "both") else None,
            "offset": found.next_offset,
            "usage": {"credits": ABSURD_CREDITS if _is(fault, "absurd_credits") else found.credits},
        }
        return _json(body, fault)

    @router.get("/v1/stories", dependencies=guarded)
    def list_stories(query: Annotated[StoriesQuery, Query()], request: Request) -> Response:
        """List stories."""
        fault = _fault(request)
        found = sandbox.stories.find(query, sandbox.now())
        items = damage(fault, found.stories, page_size=query.limit)
        return _json({"stories": items, "offset": found.next_offset}, fault)

    @router.get("/v1/profiles/me/limits", dependencies=guarded)
    def read_limits() -> dict[str, object]:
        """Say what the limits are, and how much of them is left, in AskNews' own words (doc, 0.32)."""
        limits = sandbox.limits
        return {
            "request_rate": limits.requests_per_second,
            "request_rate_capacity": float(limits.burst),
            "request_rate_remaining": float(limits.remaining()),
            "retry_after": None,
            "concurrency_limit": limits.concurrency,
            "concurrency_remaining": max(0, limits.concurrency - limits.in_progress),
        }

    return router


def _fault(request: Request) -> Fault | None:
    """The fault that the gate left for the route to commit."""
    fault: Fault | None = getattr(request.state, "fault", None)
    return fault


def _is(fault: Fault | None, kind: FaultKind) -> bool:
    return fault is not None and fault.kind == kind


def _json(body: dict[str, object], fault: Fault | None) -> Response:
    # A lone surrogate, which a fault may put in, can only be sent as an escape.
    return Response(json.dumps(body, ensure_ascii=fault is not None), media_type="application/json")


def _as_string(articles: Sequence[Article]) -> str:
    """The articles in the form for prompts."""
    documents = [
        f"<doc>\n[{number}]:\ntitle: {article.payload['eng_title']}\nsummary: {article.payload['summary']}\n"
        f"source: {article.outlet.name}\npublished: {article.payload['pub_date']}\n</doc>"
        for number, article in enumerate(articles, start=1)
    ]
    return "\n".join(documents)
