"""`/v1/news/search` selects, orders, pages and charges as AskNews does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sandbox.asking import TRACKED, all_articles, answer, asking
from tests.support.sandbox_server import ManualClock

SEARCH = "/v1/news/search"
HOUR = 3600


def text_of(article: dict[str, Any]) -> str:
    return " ".join(
        [article["title"], article["eng_title"], article["summary"], *article["key_points"], *article["keywords"]]
    ).casefold()


def unix(article: dict[str, Any], field: str) -> int:
    return int(datetime.fromisoformat(article[field]).timestamp())


async def test_a_page_is_never_longer_than_the_plans_cap() -> None:
    async with asking(clock=ManualClock(), page_cap=10) as client:
        page = await answer(client, SEARCH, {"n_articles": 50})
        assert len(page["as_dicts"]) == 10
        assert page["offset"] == 10
        assert len((await answer(client, SEARCH, {"n_articles": 3}))["as_dicts"]) == 3
    async with asking(clock=ManualClock(), page_cap=50) as client:
        assert len((await answer(client, SEARCH, {"n_articles": 50}))["as_dicts"]) == 50


async def test_pages_by_number_and_by_token_hold_the_same_articles() -> None:
    async with asking(clock=ManualClock()) as client:
        by_number = await all_articles(client)
    async with asking(clock=ManualClock(), offset_tokens=True) as client:
        first = await answer(client, SEARCH)
        assert first["offset"] == first["as_dicts"][-1]["article_id"]
        by_token = await all_articles(client)
    assert by_number == by_token
    assert len({article["article_id"] for article in by_number}) == len(by_number)


async def test_an_unknown_offset_is_a_bad_request() -> None:
    async with asking(clock=ManualClock()) as client:
        response = await client.get(SEARCH, params={"offset": "b4f7d7d8-0000-4000-8000-000000000000"})
    assert response.status_code == 400
    assert response.json() == {"code": 400000, "detail": "Unknown offset"}


@pytest.mark.parametrize("field", ["crawl_date", "pub_date"])
async def test_the_window_is_on_the_date_of_the_time_filter(field: str) -> None:
    clock = ManualClock()
    start, end = clock.timestamp - 6 * HOUR, clock.timestamp - 3 * HOUR
    async with asking(clock=clock) as client:
        articles = await all_articles(client, start_timestamp=start, end_timestamp=end, time_filter=field)
        day = await all_articles(client, time_filter=field)
    expected = [article["article_id"] for article in day if start <= unix(article, field) <= end]
    assert [article["article_id"] for article in articles] == expected != []


async def test_without_a_start_24_hours_or_hours_back_are_searched() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        oldest = min(unix(article, "crawl_date") for article in await all_articles(client))
        assert 23 * HOUR < clock.timestamp - oldest <= 24 * HOUR
        oldest = min(unix(article, "crawl_date") for article in await all_articles(client, hours_back=5))
        assert 4 * HOUR < clock.timestamp - oldest <= 5 * HOUR


async def test_only_the_archive_goes_back_over_48_hours_for_5_credits() -> None:
    clock = ManualClock()
    window = {"start_timestamp": clock.timestamp - 60 * HOUR, "end_timestamp": clock.timestamp - 47 * HOUR}
    async with asking(clock=clock) as client:
        recent = await all_articles(client, **window)
        archive = await all_articles(client, **window, historical="True")
        assert (await answer(client, SEARCH, window))["usage"] == {"credits": 1}
        assert (await answer(client, SEARCH, {**window, "historical": "true"}))["usage"] == {"credits": 5}
    assert min(unix(article, "crawl_date") for article in recent) >= clock.timestamp - 48 * HOUR
    assert min(unix(article, "crawl_date") for article in archive) < clock.timestamp - 59 * HOUR


async def test_string_guarantee_wants_all_strings_by_default() -> None:
    clock = ManualClock()
    async with asking(clock=clock) as client:
        everything = await all_articles(client)
        both = await all_articles(client, string_guarantee=["Claude", "Cursor"])
        either = await all_articles(client, string_guarantee=["Claude", "Cursor"], string_guarantee_op="OR")
    assert 0 < len(both) < len(either) < len(everything)
    assert all("claude" in text_of(article) and "cursor" in text_of(article) for article in both)
    expected = {one["article_id"] for one in everything if "claude" in text_of(one) or "cursor" in text_of(one)}
    assert expected <= {article["article_id"] for article in either}


async def test_string_guarantee_finds_strings_inside_words() -> None:
    async with asking(clock=ManualClock(), page_cap=100) as client:
        archive = {"page_size": 100, "historical": True, "hours_back": 200}
        cursors = await all_articles(client, string_guarantee="CURSOR", **archive)
        claudes = await all_articles(client, string_guarantee="claude", **archive)
    assert any("precursor" in text_of(article) for article in cursors)
    assert any("claude monet" in text_of(article) for article in claudes)
    assert any("claude" not in text_of(article) for article in claudes)


async def test_the_merged_query_for_all_names_leaves_out_other_news() -> None:
    async with asking(clock=ManualClock()) as client:
        everything = await all_articles(client)
        merged = await all_articles(client, string_guarantee=TRACKED, string_guarantee_op="OR")
    assert 0.8 * len(everything) < len(merged) < len(everything)


async def test_filters_narrow_the_result() -> None:
    async with asking(clock=ManualClock(), page_cap=100) as client:
        everything = await all_articles(client, page_size=100)

        async def found(**parameters: Any) -> list[dict[str, Any]]:
            articles = await all_articles(client, page_size=100, **parameters)
            assert 0 < len(articles) < len(everything)
            return articles

        assert all("claude" not in text_of(one) for one in await found(reverse_string_guarantee="Claude"))
        assert all("Claude" in one["entities"]["Product"] for one in await found(entity_guarantee="Product:claude"))
        assert all("Culture" in one["classification"] for one in await found(categories="Culture"))
        assert all(one["language"] == "de" for one in await found(languages="de"))
        assert all(one["country"] in ("FR", "JP") for one in await found(countries=["FR", "JP"]))
        assert all(one["domain_url"] == "buildlog.example" for one in await found(domain_url="buildlog.example"))
        assert all(one["domain_url"] != "buildlog.example" for one in await found(bad_domain_url="buildlog.example"))
        assert all("llama" in text_of(one) and "meta" in text_of(one) for one in await found(query="llama Meta"))
        assert len(await found(query="llama Meta", method="nl")) > len(await found(query="llama Meta"))
        assert await all_articles(client, page_size=100, categories="All") == everything


async def test_return_type_decides_what_is_filled() -> None:
    async with asking(clock=ManualClock()) as client:
        dicts = await answer(client, SEARCH, {"return_type": "dicts"})
        string = await answer(client, SEARCH, {"return_type": "string"})
        both = await answer(client, SEARCH, {"return_type": "both"})
        assert await answer(client, SEARCH) == dicts
    assert dicts["as_string"] is None
    assert string["as_dicts"] is None
    assert both["as_dicts"] == dicts["as_dicts"]
    assert both["as_string"] == string["as_string"]
    assert both["as_dicts"][0]["eng_title"] in both["as_string"]


async def test_the_order_can_be_chosen_and_holds_the_same_articles() -> None:
    orders: dict[str, list[str]] = {}
    for order in ("newest_first", "oldest_first", "by_id"):
        async with asking(clock=ManualClock(), order=order) as client:
            orders[order] = [article["article_id"] for article in await all_articles(client)]
    assert orders["oldest_first"] == orders["newest_first"][::-1]
    assert orders["by_id"] == sorted(orders["newest_first"]) != orders["newest_first"]


async def test_new_articles_shift_pages_unless_the_end_is_fixed() -> None:
    clock = ManualClock(datetime(2026, 9, 7, 12, 0, tzinfo=UTC))
    fixed = {"start_timestamp": clock.timestamp - 12 * HOUR, "end_timestamp": clock.timestamp}
    async with asking(clock=clock) as client:
        open_page = await answer(client, SEARCH, {"offset": 10})
        fixed_page = await answer(client, SEARCH, {**fixed, "offset": 10})
        clock.advance(hours=1)
        assert await answer(client, SEARCH, {**fixed, "offset": 10}) == fixed_page
        assert await answer(client, SEARCH, {"offset": 10}) != open_page


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"n_articles": 0}, "n_articles"),
        ({"n_articles": 102}, "n_articles"),
        ({"time_filter": "today"}, "time_filter"),
        ({"string_guarantee_op": "XOR"}, "string_guarantee_op"),
        ({"return_type": "xml"}, "return_type"),
        ({"start_timestamp": "yesterday"}, "start_timestamp"),
    ],
)
async def test_a_wrong_parameter_is_refused_with_a_list_that_names_it(parameters: dict[str, Any], name: str) -> None:
    async with asking() as client:
        response = await client.get(SEARCH, params=parameters)
    assert response.status_code == 422
    body = response.json()
    assert body["code"] == 422000
    assert [problem["loc"] for problem in body["detail"]] == [["query", name]]
    assert all({"loc", "msg", "type"} == problem.keys() for problem in body["detail"])
