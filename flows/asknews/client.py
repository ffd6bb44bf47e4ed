"""The AskNews client: news and stories over one HTTP client, without retries of its own."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar, cast

import httpx
import structlog

from flows.asknews.articles import Article, parse_articles
from flows.asknews.authentication import Authentication
from flows.asknews.endpoints import api_endpoint, without_version
from flows.asknews.errors import AskNewsError, ResponseTooLarge, UnexpectedResponse
from flows.asknews.fields import whole_number
from flows.asknews.pacing import Pacing
from flows.asknews.pages import Page, number_if_digits, offset_after
from flows.asknews.records import Reject, Tolerant
from flows.asknews.request_parameters import Parameters, news_query, stories_query
from flows.asknews.responses import BoundedStream, json_of, plan_of
from flows.asknews.stories import Story, parse_stories, points_in
from flows.asknews.transport import error_of_transport, http_client

RecordT = TypeVar("RecordT", bound=Tolerant)

Parser = Callable[[Sequence[object]], tuple[list[RecordT], list[Reject]]]

LIMITS_PATH = "/v1/profiles/me/limits"
NEWS_PATH = "/v1/news/search"
STORIES_PATH = "/v1/stories"

LONGEST_CONNECT_SECONDS = 10.0
# A whole request may take so many read timeouts, and so long: each read may be in time while the response drips in.
READ_TIMEOUTS_PER_REQUEST = 4
LONGEST_REQUEST_SECONDS = 60.0
# So many records without a valid one are not bad records: the API has changed. Fewer may be, in a quiet hour.
TELLING_REJECTS = 5
# A hundred times the dearest call: more is a mistake, and must not be taken from the month's budget.
MOST_CREDITS = 1_000
# A hundred times what the contract's largest page has, in case that a source ignores how many are asked for. They are
# stored in one transaction, a reject in a millisecond; and PostgreSQL takes the ids of 32,767 at once.
MOST_ITEMS = 10_000
# Ten stories with both series have so many in 200 days. Each costs 1.5 kB and a tenth of a millisecond, of numbers that
# take nine bytes in an answer.
MOST_POINTS = 100_000
LONGEST_SHOWN = 50

logger = structlog.stdlib.get_logger()


class AskNewsClient:
    """AskNews over one httpx.AsyncClient; an async context manager, which closes it.

    `base_url`: with or without a path, and with or without a `/v1` at its end. `authentication`: ApiKey or
    ClientCredentials. `read_timeout_seconds` bounds each wait for data, and, four times as long but
    `LONGEST_REQUEST_SECONDS` at the most, the whole request.
    `max_response_bytes` bounds a body, both packed and unpacked. `requests_per_second` spaces the requests; `clock`
    (monotonic seconds) and `sleep` (seconds) are what it uses. `transport` replaces the network.

    Every method raises an AskNewsError and never anything of httpx; nothing is repeated but the one request after a
    renewed token. `base_url` has to be a web address, as Settings sees to. Raises Misconfigured where the environment
    names a proxy or certificates that cannot be used.
    """

    def __init__(
        self,
        *,
        base_url: str,
        authentication: Authentication,
        read_timeout_seconds: float,
        max_response_bytes: int,
        requests_per_second: float,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._authentication = authentication
        self._max_response_bytes = max_response_bytes
        self._deadline_seconds = min(READ_TIMEOUTS_PER_REQUEST * read_timeout_seconds, LONGEST_REQUEST_SECONDS)
        self._pacing = Pacing(requests_per_second, clock=clock, sleep=sleep)
        self._api = api_endpoint(base_url)
        self._http = http_client(
            base_url=without_version(base_url),
            auth=authentication,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "vibecheck-pipeline"},
            timeout=httpx.Timeout(read_timeout_seconds, connect=min(LONGEST_CONNECT_SECONDS, read_timeout_seconds)),
            follow_redirects=False,
            transport=transport,
            event_hooks={"response": [self._bound]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def search_news(
        self,
        *,
        names: Sequence[str],
        start: datetime,
        end: datetime,
        offset: int | str = 0,
        page_size: int,
        archive: bool = False,
    ) -> Page[Article]:
        """Return articles crawled from `start` to `end` that contain at least one of `names`, from `offset` on.

        `start` and `end` are aware and widened to whole seconds. `page_size` is 1 to 101; the plan may cap it.
        `archive` also finds articles older than 48 hours, at five times the price. Raises AskNewsError, and ValueError
        for arguments that make no query.
        """
        query = news_query(names, start, end, offset=offset, page_size=page_size, archive=archive)
        body, plan = await self._get(NEWS_PATH, query)
        is_empty = "as_dicts" in body and body["as_dicts"] is None and not body.get("as_string")
        items: object = [] if is_empty else body.get("as_dicts")
        with _refused_with_its_price(body):
            page = self._page(NEWS_PATH, body, items, parse_articles, offset=offset, plan=plan)
            if len(page.records) >= TELLING_REJECTS and all(article.sentiment is None for article in page.records):
                raise UnexpectedResponse(
                    f"{NEWS_PATH}: none of the {len(page.records)} records has a sentiment. Has the API changed?",
                    status=200,
                )
        return page

    async def search_news_json(
        self, *, names: Sequence[str], start: datetime, end: datetime, page_size: int
    ) -> Mapping[str, object]:
        """Return the answer of `search_news` as it came, to compare it with what is documented. Raises as that."""
        body, _ = await self._get(NEWS_PATH, news_query(names, start, end, page_size=page_size))
        return body

    async def limits(self) -> Mapping[str, object]:
        """Return what the account may ask for: `request_rate` a second, `concurrency_limit` at once (doc). It is free.

        Raises AskNewsError.
        """
        body, _ = await self._get(LIMITS_PATH, [])
        return body

    async def list_stories(
        self,
        *,
        query: str,
        start: datetime,
        end: datetime,
        offset: int | str = 0,
        page_size: int,
        reddit_threads: int,
    ) -> Page[Story]:
        """Return stories about `query` from `offset` on, with their updates and up to `reddit_threads` threads each.

        `start` and `end` are aware and widened to whole seconds. Raises AskNewsError, AccessDenied where the plan has
        no stories, and ValueError for arguments that make no query.
        """
        body, plan = await self._get(
            STORIES_PATH,
            stories_query(query, start, end, page_size=page_size, offset=offset, reddit_threads=reddit_threads),
        )
        items: object = body.get("stories")
        with _refused_with_its_price(body):
            if points_in(items) > MOST_POINTS:
                raise ResponseTooLarge(
                    f"{STORIES_PATH}: the series have more than {MOST_POINTS} points: ask for less, or has the API "
                    "changed?",
                    status=200,
                )
            return self._page(STORIES_PATH, body, items, parse_stories, offset=offset, plan=plan)

    def _page(
        self,
        path: str,
        body: Mapping[str, object],
        items: object,
        parse: Parser[RecordT],
        *,
        offset: int | str,
        plan: str,
    ) -> Page[RecordT]:
        if not isinstance(items, list):
            raise UnexpectedResponse(f"{path} answered without a list of results: has the API changed?", status=200)
        found = cast(list[object], items)
        if len(found) > MOST_ITEMS:
            raise ResponseTooLarge(
                f"{path} answered with {len(found)} items: ask for less time, or has the API changed?", status=200
            )
        records, rejects = parse(found)
        fetched = len(found)
        if not records and fetched >= TELLING_REJECTS:
            reason = self._authentication.redact(rejects[0].reason)
            raise UnexpectedResponse(
                f"{path}: none of the {fetched} records is valid: {reason}. Has the API changed?", status=200
            )
        page = Page(
            records=records,
            rejects=rejects,
            next_offset=offset_after(number_if_digits(offset), fetched, body.get("offset")),
            credits=credits_of(body.get("usage")),
            fetched=fetched,
            plan=plan,
        )
        # For whoever looks for errors: the poll says the same of a page once it is stored.
        logger.debug(
            "asknews_page_read",
            path=path,
            offset=offset,
            fetched=fetched,
            rejected=len(rejects),
            credits=page.credits,
        )
        _warn_of_change(path, records)
        return page

    async def _get(self, path: str, parameters: Parameters) -> tuple[Mapping[str, object], str]:
        """The JSON object at `path`, and the plan that it was answered under."""
        await self._pacing.wait()
        request = self._http.build_request("GET", path, params=parameters)
        outcome: httpx.Response | AskNewsError
        try:
            async with asyncio.timeout(self._deadline_seconds):
                outcome = await self._http.send(request)
        except AskNewsError as error:
            outcome = error
        except (httpx.RequestError, OSError) as error:
            asked = self._api if self._authentication.is_ready(request) else self._authentication.token_endpoint
            outcome = error_of_transport(error, self._authentication.redact, asked or self._api)
        # Raised out here, so that it does not keep the httpx error, and with it the request's headers, as its context.
        if isinstance(outcome, AskNewsError):
            if not self._authentication.is_ready(request):
                outcome.was_sent = False
            raise outcome
        body: object = json_of(
            outcome, self._authentication.redact, self._api, credentials=self._authentication.variables
        )
        if not isinstance(body, dict):
            raise UnexpectedResponse(
                f"{path} answered with JSON that is not an object: has the API changed?", status=200
            )
        return cast(dict[str, object], body), plan_of(outcome.headers)

    async def _bound(self, response: httpx.Response) -> None:
        """Bound a response's body before anything reads it; the token endpoint's responses come through here too."""
        if response.is_closed:
            # A transport without a network delivers bodies that are read already.
            if len(response.content) > self._max_response_bytes:
                raise ResponseTooLarge(f"the response is larger than {self._max_response_bytes} bytes")
            return
        response.stream = BoundedStream(
            cast(httpx.AsyncByteStream, response.stream),
            encoding=response.headers.pop("content-encoding", "").strip().lower(),
            limit=self._max_response_bytes,
            status=response.status_code,
        )


@contextmanager
def _refused_with_its_price(body: Mapping[str, object]) -> Generator[None]:
    """Let the error of an answer that is refused for what it holds say what the answer cost."""
    try:
        yield
    except (ResponseTooLarge, UnexpectedResponse) as error:
        error.credits = credits_of(body.get("usage"))
        raise


def _warn_of_change(path: str, records: Sequence[Tolerant]) -> None:
    """Warn of fields that no record of a page has as the contract says: one record is odd, all of them are a change."""
    altered = Counter(name for record in records for name in record.altered_fields)
    everywhere = sorted(name for name, count in altered.items() if count == len(records))
    if everywhere and len(records) >= TELLING_REJECTS:
        logger.warning("asknews_fields_odd_everywhere", path=path, fields=everywhere, records=len(records))


def credits_of(usage: object) -> int | None:
    """Return what a response says that it cost; None if it says nothing, and, with a warning, if it cannot be right."""
    sent = cast(dict[str, object], usage).get("credits") if isinstance(usage, dict) else None
    if sent is None:
        return None
    try:
        credits = whole_number(sent)
    except ValueError:
        credits = -1
    if not 0 <= credits <= MOST_CREDITS:
        logger.warning("asknews_credits_implausible", sent=repr(sent)[:LONGEST_SHOWN])
        return None
    return credits
