"""Odd values that AskNews may send: the sandbox sends them, and nothing is lost but these."""

from typing import Any

import pytest
from pydantic import SecretStr

from deployments.sandbox import Fault
from flows.asknews import (
    AskNewsError,
    ClientCredentials,
    Misconfigured,
    PaymentRequired,
    ServiceFailed,
    parse_articles,
    parse_stories,
)
from flows.entities import EntityMatcher, load_tracked
from tests.asknews.fakes import ask, client_of, failure_of
from tests.sandbox.asking import answer, asking
from tests.support.sandbox_server import ManualClock, running_sandbox

SEARCH, STORIES = "/v1/news/search", "/v1/stories"
WHOLE_STORIES: dict[str, Any] = {"expand_updates": True, "max_updates": 5, "reddit": 3}


async def test_articles_with_odd_side_fields_are_all_kept() -> None:
    async with asking(clock=ManualClock(), faults=[Fault(kind="odd_fields")]) as client:
        sent = (await answer(client, SEARCH))["as_dicts"]
    articles, rejects = parse_articles(sent)
    assert ([str(article.article_id) for article in articles], rejects) == ([one["article_id"] for one in sent], [])
    assert all(article.altered_fields for article in articles)


async def test_stories_with_odd_side_fields_are_all_kept() -> None:
    async with asking(clock=ManualClock(), faults=[Fault(kind="odd_fields")]) as client:
        sent = (await answer(client, STORIES, WHOLE_STORIES))["stories"]
    stories, rejects = parse_stories(sent)
    assert ([str(story.story_id) for story in stories], rejects) == ([one["uuid"] for one in sent], [])
    assert all(story.altered_fields for story in stories)


async def test_odd_addresses_are_kept_as_addresses() -> None:
    async with asking(clock=ManualClock(), faults=[Fault(kind="odd_addresses", times=2)]) as client:
        articles, _ = parse_articles((await answer(client, SEARCH))["as_dicts"])
        stories, _ = parse_stories((await answer(client, STORIES, WHOLE_STORIES))["stories"])
    assert all("/a%20b/xxx" in article.url and not article.altered_fields for article in articles)
    threads = [thread for story in stories for thread in story.reddit_threads]
    assert threads
    assert all(thread.url.startswith("https://www.reddit.com/r/") for thread in threads)


async def test_a_story_may_come_again_without_its_rolling_means() -> None:
    async with asking(clock=ManualClock(), faults=[Fault(kind="no_rolling")]) as client:
        stories, _ = parse_stories((await answer(client, STORIES))["stories"])
    assert {point.rolling for story in stories for point in story.sentiment} == {None}


async def test_names_are_recognised_in_texts_full_of_html_entities() -> None:
    matcher = EntityMatcher(load_tracked())
    async with asking(clock=ManualClock(), faults=[Fault(kind="html_entities", times=1)]) as client:
        encoded, _ = parse_articles((await answer(client, SEARCH))["as_dicts"])
        plain, _ = parse_articles((await answer(client, SEARCH))["as_dicts"])
    assert any("&nbsp;" in article.title for article in encoded)
    assert [matcher.mentioned(article.summary) for article in encoded] == [
        matcher.mentioned(article.summary) for article in plain
    ]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="payment_required"), PaymentRequired),
        (Fault(kind="not_now"), ServiceFailed),
        (Fault(kind="not_now", status=425), ServiceFailed),
        (Fault(kind="proxy_refuses"), Misconfigured),
        (Fault(kind="redirect"), Misconfigured),
    ],
)
async def test_a_refusal_that_is_not_a_result_costs_nothing(fault: Fault, kind: type[AskNewsError]) -> None:
    with running_sandbox(clock=ManualClock(), faults=[fault]) as sandbox:
        error = await failure_of(client_of(base_url=sandbox.base_url))
    assert (type(error), error.was_billed) == (kind, "no")


async def test_a_token_endpoint_that_redirects_names_its_variable() -> None:
    with running_sandbox(clock=ManualClock(), faults=[Fault(kind="redirect", path="/oauth2/token")]) as sandbox:
        credentials = ClientCredentials("id", SecretStr("secret"), token_url=sandbox.token_url)
        error = await failure_of(client_of(base_url=sandbox.base_url, authentication=credentials))
    assert "redirects to https://elsewhere.example/: check ASKNEWS_TOKEN_URL" in str(error)


async def test_absurd_credits_are_not_believed() -> None:
    with running_sandbox(clock=ManualClock(), faults=[Fault(kind="absurd_credits")]) as sandbox:
        async with client_of(base_url=sandbox.base_url) as client:
            assert (await ask(client)).credits is None
            assert (await ask(client)).credits == 1
