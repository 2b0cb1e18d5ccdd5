"""People at the console: their browsers, what they look at, what they press.

CITYVIGIL_SCREENSHOTS names a folder for pictures of the main pages.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from schemas.alert import Alert, Evidence
from schemas.clock import to_datetime
from tests.case_builders import an_alert
from tests.console_stand import Stand, now_us, store_readings

PATIENCE_MS = 60_000  # for a machine that does ten other things; a page that works needs a hundredth
PICTURES = os.environ.get("CITYVIGIL_SCREENSHOTS")
WHY_ZH = (
    "燃气井甲烷2.6%（限2.5%），10分钟涨1.4%，与管网压力同步，疑似管线泄漏；建议：设警戒、禁明火、通知抢修"
)
WHY_EN = (
    "Manhole methane 2.6 % (limit 2.5 %), up 1.4 % in 10 min with the main: likely a leak; cordon, no flames"
)

expect.set_options(timeout=PATIENCE_MS)


def city(stand: Stand) -> dt.datetime:
    return to_datetime(stand.clock.city_us(now_us()))


def a_leak(stand: Stand, zone: str = "shinan-01", **changes: Any) -> Alert:
    since = city(stand) - dt.timedelta(minutes=15)
    values: dict[str, Any] = {
        "subject": f"sensor/gw-gas-{zone}/p0",
        "zone": zone,
        "district": zone.split("-")[0],
        "level": 1,
        "since": since,
        "observed_at": since + dt.timedelta(minutes=4),
        "evidence": Evidence(
            text_zh=WHY_ZH,
            text_en=WHY_EN,
            source="GB 50838; mapping to 4 levels ours",
            confidence="judgement",
            value=2.61,
            limit=2.5,
            unit="%{vol}",
            condition="v>=2.5",
            neighbours=[{"subject": f"sensor/gw-gas-{zone}/p1", "value": 1.9, "agrees": True}],
        ),
        **changes,
    }
    return an_alert(**values)


async def a_leak_with_its_readings(stand: Stand) -> Alert:
    leak = a_leak(stand)
    async with stand.pool.connection() as connection:
        row = await (
            await connection.execute(
                "select sensor from sensors where gateway = 'gw-gas-shinan-01' and point = 'p0'"
            )
        ).fetchone()
    assert row is not None
    rising = [0.05] * 104 + [0.1 + 0.25 * step for step in range(12)] + [2.9] * 4
    await store_readings(stand, row[0], leak.observed_at, rising)
    return leak


async def page_of(
    browser: Browser,
    stand: Stand,
    user: str,
    *,
    width: int = 1920,
    height: int = 1080,
    language: str = "zh-CN",
    theme: str = "dark",
    at: str | None = None,
) -> Page:
    """Somebody's browser, logged in, on the start page. Whatever a script throws fails the test."""
    url = at or stand.url
    context = await browser.new_context(viewport={"width": width, "height": height}, locale=language)
    await context.add_cookies(
        [
            {"name": "cityvigil_language", "value": language, "url": url},
            {"name": "cityvigil_theme", "value": theme, "url": url},
        ]
    )
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.on(
        "console", lambda line: thrown.append(line.text) if "Content Security Policy" in line.text else None
    )
    page.thrown = thrown  # type: ignore[attr-defined]  # looked at by `nothing_thrown`
    await page.goto(f"{url}/login")
    await page.fill("[name=user]", user)
    await page.fill("[name=password]", stand.passwords[user])
    await page.click("button.primary")
    await page.wait_for_url(f"{url}/")
    await expect(page.locator("#link")).to_have_attribute("data-state", "ok")
    return page


def nothing_thrown(*pages: Page) -> None:
    for page in pages:
        assert page.thrown == []  # type: ignore[attr-defined]  # set by `page_of`


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


def row(page: Page, case_id: str) -> Any:
    return page.locator(f'.row[data-case="{case_id}"]')


async def press_act(page: Page, action: str, newest: str | None = None) -> None:
    """A button of the detail, and what the server then says: the action, or `newest`, as the newest line."""
    form = page.locator(f'form[data-act="{action}"]')
    await form.locator("button").click()
    await expect(page.locator(".timeline li").first).to_have_attribute("data-action", newest or action)
