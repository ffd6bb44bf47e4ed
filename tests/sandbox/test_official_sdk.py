"""The vendor's own client reads the sandbox as it reads AskNews: an independent check of the shapes."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from deployments.sandbox import Fault
from tests.sandbox.asking import KEY, TRACKED
from tests.support.sandbox_server import ManualClock, RunningSandbox, running_sandbox

pytestmark = [
    pytest.mark.end_to_end,
    # The SDK still configures its models in pydantic 1's way; that is its business, and only its import is affected.
    pytest.mark.filterwarnings("ignore:Support for class-based `config` is deprecated:DeprecationWarning"),
]

NEWS: dict[str, Any] = {
    "n_articles": 50,
    "return_type": "both",
    "string_guarantee": TRACKED,
    "string_guarantee_op": "OR",
    "hours_back": 24,
}
STORIES: dict[str, Any] = {"query": "Claude", "expand_updates": True, "max_updates": 5, "reddit": 3}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(clock=ManualClock(), clients={"some-id": "some secret/+"}) as running:
        yield running


def credentials(sandbox: RunningSandbox, kind: str) -> dict[str, Any]:
    common = {"base_url": sandbox.base_url, "token_url": sandbox.token_url, "trust_env": False}
    if kind == "key":
        return {"api_key": KEY, **common}
    return {"client_id": "some-id", "client_secret": "some secret/+", "scopes": {"news", "stories"}, **common}


# The SDK is untyped in part, hence Any. It is imported where the marks above apply.
def synchronous_sdk(**settings: Any) -> Any:
    from asknews_sdk import AskNewsSDK

    return AskNewsSDK(**settings)


def asynchronous_sdk(**settings: Any) -> Any:
    from asknews_sdk import AsyncAskNewsSDK

    return AsyncAskNewsSDK(**settings)


def check_news(response: Any) -> None:
    assert len(response.as_dicts) == 10
    assert response.offset == 10
    assert response.usage.credits == 1
    assert response.as_string.startswith("<doc>")
    article = response.as_dicts[0]
    assert isinstance(article.article_id, UUID)
    assert article.crawl_date > article.pub_date
    assert article.sentiment in (-1, 0, 1)


def check_stories(response: Any) -> None:
    assert response.stories
    for story in response.stories:
        assert story.topic == "auto_generated"
        assert len(story.sentiment) == len(story.sentiment_timestamps) == len(story.rolling_sentiment)
        assert story.updates[0].headline
        assert story.updates[0].story_uuid == story.uuid
    assert any(update.reddit_threads for story in response.stories for update in story.updates)
    assert any(update.cluster_articles for story in response.stories for update in story.updates)


@pytest.mark.parametrize("kind", ["key", "client credentials"])
def test_the_synchronous_sdk_reads_news_and_stories(sandbox: RunningSandbox, kind: str) -> None:
    with synchronous_sdk(**credentials(sandbox, kind)) as sdk:
        check_news(sdk.news.search_news(**NEWS))
        check_stories(sdk.stories.search_stories(**STORIES))
        assert sdk.ping().version
    tokens = [request for request in sandbox.requests if request.path == "/oauth2/token"]
    assert len(tokens) == (0 if kind == "key" else 1)


@pytest.mark.parametrize("kind", ["key", "client credentials"])
async def test_the_asynchronous_sdk_reads_news_and_stories(sandbox: RunningSandbox, kind: str) -> None:
    async with asynchronous_sdk(**credentials(sandbox, kind)) as sdk:
        check_news(await sdk.news.search_news(**NEWS))
        check_stories(await sdk.stories.search_stories(**STORIES))
        assert (await sdk.ping()).version


def test_a_days_articles_and_a_weeks_stories_satisfy_the_sdk(sandbox: RunningSandbox) -> None:
    with synchronous_sdk(**credentials(sandbox, "key")) as sdk:
        count = 0
        while True:
            page = sdk.news.search_news(n_articles=10, return_type="dicts", offset=count)
            count += len(page.as_dicts)
            if len(page.as_dicts) < 10:
                break
        assert count > 250
        stories = sdk.stories.search_stories(limit=100, expand_updates=True, max_updates=10, max_articles=3, reddit=6)
        assert len(stories.stories) > 50


def test_the_sdk_understands_the_errors(sandbox: RunningSandbox) -> None:
    from asknews_sdk.errors import ForbiddenError, RateLimitExceededError, UnauthorizedError, ValidationError

    sandbox.add_faults(Fault(kind="rate_limited", path="/v1/news/search"), Fault(kind="forbidden", path="/v1/stories"))
    with synchronous_sdk(**credentials(sandbox, "key")) as sdk:
        with pytest.raises(RateLimitExceededError):
            sdk.news.search_news()
        with pytest.raises(ForbiddenError):
            sdk.stories.search_stories()
        with pytest.raises(ValidationError):
            sdk.news.search_news(n_articles=1000)
    with (
        synchronous_sdk(api_key="wrong", base_url=sandbox.base_url, trust_env=False) as sdk,
        pytest.raises(UnauthorizedError),
    ):
        sdk.news.search_news()
