"""The status page in a real browser."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.monitoring.web.page import REFRESH_SECONDS
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import expected, seed, seed_healthy
from tests.monitoring.web.pages import page_with_hostile_text
from tests.monitoring.web.serving import running_health
from tests.support.chromium import running_chromium


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_is_readable_on_a_phone_and_in_the_dark(
    engine: AsyncEngine, sqlite_url: str, scheme: str, width: int
) -> None:
    await page_with_hostile_text(engine)
    async with browsing(sqlite_url, width=width, scheme=scheme) as (page, problems):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 128) == (scheme == "dark")
        # The hostile text stayed text.
        assert "owned" not in await page.title()
        assert await page.locator("img").count() == 0
        assert problems == []


async def test_pointing_at_a_run_tells_what_it_did(engine: AsyncEngine, sqlite_url: str) -> None:
    await seed_healthy(engine)
    async with browsing(sqlite_url) as (page, problems):
        tip = page.locator("article").first.locator(".bars .tip").last
        await expect(tip).to_be_hidden()
        await page.locator("article").first.locator(".bars li").last.hover()
        await expect(tip).to_be_visible()
        await expect(tip).to_contain_text("4 fetched, 3 new, 1 updated")
        assert problems == []


async def test_it_refreshes_itself_and_keeps_open_what_was_opened(engine: AsyncEngine, sqlite_url: str) -> None:
    now = await seed_healthy(engine)
    async with browsing(sqlite_url) as (page, problems):
        await page.locator("#runs-poll_news summary").click()
        await seed(engine, [expected("added_meanwhile", now)])
        added = page.get_by_role("heading", name="added_meanwhile")
        # The service keeps what it has read for some seconds.
        while not await added.is_visible():
            async with page.expect_response("**/"):
                await page.clock.fast_forward(REFRESH_SECONDS * 1_000)
        await expect(page.locator("#runs-poll_news table")).to_be_visible()
        await expect(page.locator("#offline")).to_be_hidden()
        assert problems == []


async def test_it_says_when_it_can_no_longer_refresh_itself(engine: AsyncEngine, sqlite_url: str) -> None:
    await seed_healthy(engine)
    async with browsing(sqlite_url) as (page, _problems):
        await page.route("**/*", lambda route: route.abort())
        await page.clock.fast_forward(REFRESH_SECONDS * 1_000)
        await expect(page.locator("#offline")).to_be_visible()
        await expect(page.get_by_role("heading", name="poll_news")).to_be_visible()


@asynccontextmanager
async def browsing(
    database_url: str, *, width: int = 1_280, scheme: str = "light"
) -> AsyncGenerator[tuple[Page, list[str]]]:
    """A browser on the status page, whose clock the test moves, and what it complained about so far."""
    async with running_chromium() as browser:
        with running_health(Settings.model_validate({"database_url": database_url})) as url:
            yield await _open(browser, url, width, scheme)


async def _open(browser: Browser, url: str, width: int, scheme: str) -> tuple[Page, list[str]]:
    page = await browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.clock.install()
    await page.goto(url)
    return page, problems
