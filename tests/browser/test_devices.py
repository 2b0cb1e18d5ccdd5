"""The devices in Chromium: found among many, looked at for a day, and unknown points that a person names."""

from __future__ import annotations

import datetime as dt

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from cityvigil.unguarded import Unjudged
from dispatch.console.render import CITY_OFFSET
from schemas.clock import to_datetime
from schemas.registry import WAITING_BASE
from tests.browser.officers import city, nothing_thrown, page_of, picture
from tests.console_stand import Stand, now_us, store_readings

pytestmark = [pytest.mark.browser, pytest.mark.integration]


async def in_order(page: Page) -> None:
    """Nothing for a screen reader to trip over, and no wider than the window."""
    found = await Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def some_history(stand: Stand) -> int:
    """A sensor with a day of readings and what was noted of it, and two points that nobody registered."""
    now = city(stand).astimezone(CITY_OFFSET)
    sensor, waiting = 3, WAITING_BASE + 1
    values = [0.05 + 0.01 * (minute % 7) + (0.4 if 900 < minute < 960 else 0.0) for minute in range(0, 1380)]
    await store_readings(stand, sensor, now - dt.timedelta(minutes=1), values)
    await store_readings(stand, waiting, now - dt.timedelta(minutes=1), [0.02, 0.03, 0.05])
    async with stand.pool.connection() as connection:
        await connection.execute(
            "insert into sensors (sensor, gateway, point, unit, zone, state, district) values"
            " (%s, 'gw-gas-shinan-01', 'ch4-09', '%%{vol}', 'shinan-01', 'waiting', 'shinan'),"
            " (%s, 'gw-heat-licang-01', 'AI-17', null, 'licang-01', 'waiting', 'licang')",
            (waiting, waiting + 1),
        )
        await connection.execute(
            "update sensors set state = 'maintenance', maintenance_from = %s, maintenance_to = %s"
            " where sensor = 4",
            (now - dt.timedelta(hours=1), now + dt.timedelta(days=3)),
        )
        await connection.execute(
            "insert into sensor_health values"
            " (%s, %s, 1380, 3, 200, %s, 0.06, 0, 345), (%s, %s, 3, 0, 0, %s, 0.05, 0, 0)",
            (sensor, now.date(), now, waiting, now.date(), now),
        )
        await connection.execute(
            "insert into gateway_repeats values ('gw-gas-shinan-01', %s, 40)", (now.date(),)
        )
    return sensor


@pytest.mark.parametrize(("language", "theme"), [("zh-CN", "dark"), ("en", "light")])
async def test_a_sensor_is_found_and_its_last_day_looked_at(
    stand: Stand, browser: Browser, language: str, theme: str
) -> None:
    sensor = await some_history(stand)
    until = now_us() + 14 * 86_400_000_000
    stand.guard[sensor] = [
        Unjudged("bridge-strain", "level 4, v<=0.80*op: site parameter op is missing"),
        Unjudged("water-bulk-meter-flow", "level 3, dev>=15%", True, True, until),
    ]
    stand.guard[51] = [Unjudged("drift", "drift", True, False, None, True)]
    page = await page_of(browser, stand, "duty", language=language, theme=theme, width=1366, height=900)
    await page.click('a[href="/devices"]')
    await expect(page.locator("tbody tr")).to_have_count(50)
    await expect(page.locator(".guard .count")).to_have_text(["1", "2", "1"])
    await in_order(page)
    await picture(page, f"devices-{theme}")
    await page.click(".pages .next")
    await expect(page.locator("tbody th a").first).to_have_attribute("href", "/devices/51")
    await page.fill("[name=q]", "gw-gas-shinan-01")
    await page.click(".filters button")
    await expect(page.locator("tbody tr")).to_have_count(9)
    await page.select_option("[name=health]", "twice")
    await page.click(".filters button")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.click("tbody th a")
    await expect(page.locator(".chart canvas")).to_be_visible()
    await expect(page.locator(".facts .much")).to_have_text(["14.5 %", "25.0 %"])
    await expect(page.locator(".guard-card tbody tr")).to_have_count(2)
    await in_order(page)
    await picture(page, f"device-{theme}")
    await page.click('a[href="/devices"] >> nth=1')
    await page.click('.guard a[href$="learning_alone"]')
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.click("tbody th a")
    await expect(page.locator(".guard-card .much")).to_be_visible()
    await page.goto(f"{stand.url}/devices/gateways")
    await expect(page.locator("tbody tr")).to_have_count(25)
    await in_order(page)
    await picture(page, f"gateways-{theme}")
    nothing_thrown(page)


async def test_an_unknown_point_gets_the_category_that_a_person_gives_it(
    stand: Stand, browser: Browser
) -> None:
    await some_history(stand)
    secret, _ = await stand.people.add("engineer", roles=["engineer"], now=to_datetime(now_us()))
    stand.passwords["engineer"] = secret
    page = await page_of(browser, stand, "engineer", width=1366, height=900)
    await page.goto(f"{stand.url}/devices/unknown")
    await expect(page.locator(".waiting .card")).to_have_count(2)
    first = page.locator(".waiting .card").first
    await expect(first.locator(".facts")).to_contain_text("0.02")
    await in_order(page)
    await picture(page, "unknown-points")
    await first.locator(".suggested button.primary").click()
    await expect(page.locator(".said.good")).to_contain_text("ch4-09")
    assert [(one.point, one.category) for one in stand.classified] == [("ch4-09", "gas_manhole_methane")]
    await page.locator(".waiting .card input[name=category]").last.fill("回水压力？")
    await page.locator(".waiting .card .by-hand button").last.click()
    await expect(page.locator(".said.bad")).to_contain_text("回水压力？")
    nothing_thrown(page)


async def test_only_an_engineer_names_points_and_a_phone_can_read_them(
    stand: Stand, browser: Browser
) -> None:
    await some_history(stand)
    page = await page_of(browser, stand, "duty", width=390, height=844, theme="light")
    await page.goto(f"{stand.url}/devices/unknown")
    await expect(page.locator(".waiting .card")).to_have_count(2)
    await expect(page.locator(".waiting button")).to_have_count(0)
    await in_order(page)
    await picture(page, "unknown-phone")
    client = await stand.logged_in("duty")
    answer = await client.post("/devices/unknown", data={"sensor": str(WAITING_BASE + 1), "category": "x"})
    assert answer.status_code == 403
    assert stand.classified == []
