"""The browser for the tests of what people see."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

# Its names on Debian, on Ubuntu, and of Google's own package.
COMMANDS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def running_chromium() -> AsyncGenerator[Browser]:
    """A Chromium of this machine, closed at the end. Where there is none, the test is skipped."""
    path = next(filter(None, map(shutil.which, COMMANDS)), None)
    if path is None:
        pytest.skip("There is no Chromium on PATH: install chromium (or google-chrome) to test in a browser.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()
