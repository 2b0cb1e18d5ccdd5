"""A console of its own and Debian's Chromium, for each test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.console_stand import Stand, a_console

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=user-gesture-required",
]


@pytest.fixture
async def stand(postgres_dsn: str) -> AsyncIterator[Stand]:
    async with a_console(postgres_dsn, scale=60, sensors=8) as made:
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        await chromium.close()
