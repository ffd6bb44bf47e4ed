"""What the client asks for, parameter by parameter, and how it pages through what comes back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
import structlog

from flows.asknews import Page, ResponseTooLarge, UnexpectedResponse
from flows.asknews.request_parameters import MAX_UPDATES
from tests.asknews.fakes import Handler, article, as_json, ask, client_of, news, story

START = datetime(2026, 9, 7, 22, 0, 0, 500_000, tzinfo=UTC)
END = datetime(2026, 9, 7, 22, 15, 0, 1, tzinfo=UTC)


class Recorder:
    """Answers with the given bodies, the last of them for ever, and keeps the requests."""

    def __init__(self, *bodies: Any) -> None:
        self.bodies = list(bodies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, content=as_json(self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]))


async def search(handler: Handler, **changes: Any) -> Page[Any]:
    arguments: dict[str, Any] = {"names": ["Claude"], "start": START, "end": END, "page_size": 10} | changes
    async with client_of(handler) as client:
        return await client.search_news(**arguments)


async def list_stories(handler: Handler, **changes: Any) -> Page[Any]:
    arguments: dict[str, Any] = {"query": "Claude", "start": START, "end": END, "page_size": 10, "reddit_threads": 3}
    async with client_of(handler) as client:
        return await client.list_stories(**arguments | changes)


def pages_of(*sizes: int) -> Recorder:
    return Recorder(*(news(*[article()] * size, offset=None) for size in sizes))


async def test_news_are_asked_for_with_every_parameter_that_matters() -> None:
    recorder = Recorder(news())
    await search(recorder, names=["GPT-4o", "GitHub Copilot"], offset=20, page_size=50)
    (request,) = recorder.requests
    assert (request.method, request.url.path) == ("GET", "/v1/news/search")
    assert sorted(request.url.params.multi_items()) == [
        ("end_timestamp", "1788819301"),
        ("method", "kw"),
        ("n_articles", "50"),
        ("offset", "20"),
        ("query", ""),
        ("return_type", "dicts"),
        ("start_timestamp", "1788818400"),
        ("string_guarantee", "GPT-4o"),
        ("string_guarantee", "GitHub Copilot"),
        ("string_guarantee_op", "OR"),
        ("time_filter", "crawl_date"),
    ]
    assert request.headers["accept-encoding"] == "gzip"


async def test_only_the_archive_is_asked_for_as_historical() -> None:
    recorder = Recorder(news())
    await search(recorder, archive=True)
    assert recorder.requests[0].url.params["historical"] == "true"


async def test_stories_are_asked_for_with_updates_and_reddit() -> None:
    recorder = Recorder({"stories": [], "offset": 0})
    await list_stories(recorder, offset="cursor", page_size=25)
    (request,) = recorder.requests
    assert (request.method, request.url.path) == ("GET", "/v1/stories")
    assert sorted(request.url.params.multi_items()) == [
        ("end_timestamp", "1788819301"),
        ("expand_updates", "true"),
        ("limit", "25"),
        ("max_updates", str(MAX_UPDATES)),
        ("method", "kw"),
        ("offset", "cursor"),
        ("query", "Claude"),
        ("reddit", "3"),
        ("sort_by", "published"),
        ("sort_type", "desc"),
        ("start_timestamp", "1788818400"),
    ]


async def test_a_path_in_the_base_address_is_kept() -> None:
    recorder = Recorder(news())
    async with client_of(recorder, base_url="https://proxy.example/asknews/") as client:
        await ask(client)
    assert str(recorder.requests[0].url.copy_with(query=None)) == "https://proxy.example/asknews/v1/news/search"


@pytest.mark.parametrize(
    ("start", "end", "sent"),
    [
        (START.replace(microsecond=999_999), END.replace(microsecond=0), ("1788818400", "1788819300")),
        (START, START + timedelta(microseconds=1), ("1788818400", "1788818401")),
        (START.astimezone(timezone(timedelta(hours=9))), END, ("1788818400", "1788819301")),
    ],
)
async def test_a_window_is_widened_to_whole_seconds(start: datetime, end: datetime, sent: tuple[str, str]) -> None:
    recorder = Recorder(news())
    await search(recorder, start=start, end=end)
    parameters = recorder.requests[0].url.params
    assert (parameters["start_timestamp"], parameters["end_timestamp"]) == sent


@pytest.mark.parametrize(
    "changes",
    [
        {"names": []},
        {"start": START.replace(tzinfo=None)},
        {"end": END.replace(tzinfo=None)},
        {"start": END, "end": START},
    ],
)
async def test_arguments_of_no_query_are_refused_before_any_request(changes: dict[str, Any]) -> None:
    recorder = Recorder(news())
    with pytest.raises(ValueError, match="must"):
        await search(recorder, **changes)
    assert not recorder.requests


async def test_a_page_counts_records_rejects_and_credits() -> None:
    page = await search(Recorder(news(article(), article(pub_date="bad"), None, usage={"credits": 5})))
    assert (page.fetched, len(page.records), len(page.rejects), page.credits) == (3, 1, 2, 5)
    assert page.next_offset is not None


@pytest.mark.parametrize("usage", [None, ..., {}, {"credits": None}, {"credits": "many"}, {"credits": True}, 7, []])
async def test_a_page_without_usable_credits_has_none(usage: object) -> None:
    assert (await search(Recorder(news(usage=usage)))).credits is None


@pytest.mark.parametrize("absurd", [2**31 - 1, 1_001, 10**30, -1, "many", True, [5], 0.5])
async def test_absurd_credits_are_unknown_and_warned_of(absurd: object) -> None:
    with structlog.testing.capture_logs() as events:
        page = await search(Recorder(news(usage={"credits": absurd})))
    assert page.credits is None
    (warning,) = [event for event in events if event["log_level"] == "warning"]
    assert (warning["event"], warning["sent"]) == ("asknews_credits_implausible", repr(absurd))


@pytest.mark.parametrize("credits", [0, 1, 5, 10, 1_000])
async def test_plausible_credits_are_believed(credits: int) -> None:
    assert (await search(Recorder(news(usage={"credits": credits})))).credits == credits


@pytest.mark.parametrize(("odd", "warnings"), [(5, 1), (4, 0)])
async def test_a_field_that_is_odd_in_every_record_is_warned_of(odd: int, warnings: int) -> None:
    articles = [article(page_rank="12")] * odd + [article()] * (5 - odd)
    with structlog.testing.capture_logs() as events:
        await search(Recorder(news(*articles)))
    told = [event["fields"] for event in events if event["event"] == "asknews_fields_odd_everywhere"]
    assert told == [["page_rank"]] * warnings


async def test_stories_come_with_the_next_offset() -> None:
    page = await list_stories(Recorder({"stories": [story()] * 10, "offset": 10}))
    assert (page.fetched, len(page.records), page.next_offset, page.credits) == (10, 10, 10, None)


@pytest.mark.parametrize("as_string", [None, ...])
async def test_null_instead_of_a_list_is_an_empty_page(as_string: object) -> None:
    page = await search(Recorder(news(as_dicts=None, as_string=as_string)))
    assert page.fetched == 0


@pytest.mark.parametrize(
    "body",
    [
        news(as_dicts=...),
        news(as_dicts=None, as_string="text instead of objects"),
        news(as_dicts={"0": article()}),
        {"detail": "nothing"},
        [],
        "ok",
        None,
        3,
    ],
)
async def test_json_of_another_shape_is_an_error_and_not_an_empty_page(body: object) -> None:
    with pytest.raises(UnexpectedResponse):
        await search(Recorder(body))


@pytest.mark.parametrize("body", [{}, {"stories": None}, {"stories": "none"}, []])
async def test_stories_of_another_shape_are_an_error(body: object) -> None:
    with pytest.raises(UnexpectedResponse):
        await list_stories(Recorder(body))


@pytest.mark.parametrize("series", ["sentiment", "reddit_sentiment"])
async def test_more_points_than_a_page_has_become_no_records(series: str) -> None:
    points = {series: [0] * 50_001, f"{series}_timestamps": [*range(50_001)], "rolling_sentiment": None}
    body = {"stories": [story(**points)] * 2, "usage": {"credits": 10}}
    with pytest.raises(ResponseTooLarge, match="more than 100000 points") as caught:
        await list_stories(Recorder(body))
    assert (caught.value.status, caught.value.credits) == (200, 10)


async def test_a_hundred_times_the_items_of_a_page_are_refused() -> None:
    assert (await search(Recorder(news(*[{}] * 9_999, article())))).fetched == 10_000
    with pytest.raises(ResponseTooLarge, match="10001 items") as caught:
        await search(Recorder(news(*[{}] * 10_000, article(), usage={"credits": 5})))
    assert (caught.value.status, caught.value.credits) == (200, 5)
    with pytest.raises(ResponseTooLarge, match="10001 items"):
        await list_stories(Recorder({"stories": [{}] * 10_001}))


async def test_five_records_without_a_valid_one_are_an_error() -> None:
    with pytest.raises(
        UnexpectedResponse, match=r"none of the 5 records is valid: pub_date is not an ISO 8601 date\."
    ) as caught:
        await search(Recorder(news(*[article(pub_date="secret")] * 5)))
    assert caught.value.status == 200
    assert "secret" not in str(caught.value)
    with pytest.raises(UnexpectedResponse, match="none of the 5 records has a sentiment"):
        await search(Recorder(news(*[article(sentiment=..., mood=1)] * 5)))
    with pytest.raises(UnexpectedResponse, match="none of the 5 records is valid: updated_ts Field required"):
        await list_stories(Recorder({"stories": [story(updated_ts=...)] * 5, "offset": None}))


@pytest.mark.parametrize(
    "articles", [[None] * 4, [*[None] * 5, article()], [article(), *[None] * 9]], ids=["few", "last good", "first good"]
)
async def test_few_bad_records_or_some_beside_good_ones_are_set_aside(articles: list[Any]) -> None:
    page = await search(Recorder(news(*articles)))
    assert (page.fetched, len(page.rejects)) == (len(articles), articles.count(None))


@pytest.mark.parametrize(
    ("offset", "offered", "following"),
    [
        (0, 10, 10),
        (20, 30, 30),
        (20, None, 30),
        (20, ..., 30),
        (20, 20, 30),
        (20, 0, 30),
        (20, -1, 30),
        (20, True, 30),
        (20, {}, 30),
        (20, "", 30),
        (20, "\0", 30),
        (0, 50, 10),
        (0, 10**30, 10),
        (20, 25, 25),
        ("20", 30, 30),
        ("20", "30", 30),
        (0, "c0ffee", "c0ffee"),
        ("c0ffee", "decade", "decade"),
    ],
)
async def test_the_next_page_begins_right_after_the_rows_fetched(
    offset: int | str, offered: object, following: int | str
) -> None:
    page = await search(Recorder(news(*[article()] * 10, offset=offered)), offset=offset)
    assert page.next_offset == following


async def test_an_opaque_offset_ends_where_the_response_offers_none() -> None:
    assert (await search(Recorder(news(*[article()] * 10, offset=None)), offset="c0ffee")).next_offset is None


@pytest.mark.parametrize("offered", ["c0ffee", "", {}, "x" * 2_000])
async def test_an_offset_that_leads_nowhere_is_an_error_after_rows(offered: object) -> None:
    with pytest.raises(UnexpectedResponse):
        await search(Recorder(news(*[article()] * 10, offset=offered)), offset="c0ffee")
    assert (await search(Recorder(news(offset=offered)), offset="c0ffee")).next_offset is None


async def test_each_page_is_logged_as_an_event_with_fields() -> None:
    with structlog.testing.capture_logs() as events:
        await search(Recorder(news(article(), None)), offset=10)
    (event,) = events
    assert event["event"] == "asknews_page_read"
    assert {key: event[key] for key in ("path", "offset", "fetched", "rejected", "credits")} == {
        "path": "/v1/news/search",
        "offset": 10,
        "fetched": 2,
        "rejected": 1,
        "credits": 1,
    }
