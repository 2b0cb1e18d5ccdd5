"""Video in Chromium: the cameras that see an alert, a picture behind a signed address, and who looked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette

from cityvigil.http_server import serving
from simulators import cameras as simulated
from tests.browser.officers import a_leak_with_its_readings, nothing_thrown, page_of, picture, row
from tests.console_stand import Stand, now_us

pytestmark = [pytest.mark.browser, pytest.mark.integration]

LOADED = "img => img.complete && img.naturalWidth > 0"


async def in_order(page: Page) -> None:
    """Nothing for a screen reader to trip over, and no wider than the window."""
    found = await Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
async def watched(stand: Stand) -> AsyncIterator[Stand]:
    """Three cameras: one beside the first gas sensor, one that looks away from it, one that is broken."""
    app = Starlette(routes=simulated.routes(now_us))
    async with serving(app, "127.0.0.1", 0) as port, stand.pool.connection() as connection:
        found = await connection.execute(
            "select lon, lat from sensors where gateway = 'gw-gas-shinan-01' order by sensor"
        )
        place = await found.fetchone()
        assert place is not None
        lon, lat = place
        address = f"http://127.0.0.1:{port}/cameras"
        for camera, north, bearing, snapshot in (
            ("cam-1", -0.001, 0.0, f"{address}/cam-1.png"),
            ("cam-2", -0.001, 180.0, f"{address}/cam-2.png"),
            ("cam-3", 0.002, None, f"http://127.0.0.1:{port}/none"),
        ):
            await connection.execute(
                "insert into cameras values"
                " (%s, %s, %s, %s, %s, 90, 500, '公安', 'shinan-01', %s, %s, 'in-service')",
                (camera, f"路口 {camera}", lon, lat + north, bearing, "rtsp://camera/1", snapshot),
            )
        await connection.execute("update cameras_version set version = version + 1")
        await connection.commit()
        yield stand


async def test_the_cameras_that_see_an_alert_are_shown_beside_it_with_what_they_show(
    watched: Stand, browser: Browser
) -> None:
    case_id = await watched.raise_alert(await a_leak_with_its_readings(watched))
    duty = await page_of(browser, watched, "duty", width=1920, height=1080)
    await row(duty, case_id).click()
    seeing = duty.locator("#detail .cameras li")
    await expect(seeing).to_have_count(2)  # the one that looks away is not among them
    await expect(seeing.first).to_contain_text("cam-1 · 111 m")
    picture_of = duty.locator("#detail .cameras img").first
    await picture_of.scroll_into_view_if_needed()
    await duty.wait_for_function(
        f"() => [...document.querySelectorAll('.cameras img')].slice(0, 1).every({LOADED})"
    )
    await in_order(duty)
    await picture(duty, "case-cameras")
    looks = await watched.looks()
    assert ("duty", "cam-1", "snapshot", case_id, "shown") in looks

    await seeing.first.locator("a").click()
    await duty.wait_for_function(f"() => [...document.querySelectorAll('img.picture')].every({LOADED})")
    await in_order(duty)
    await picture(duty, "camera")
    await duty.goto(f"{watched.url}/cameras")
    await expect(duty.locator("tbody tr")).to_have_count(3)
    await in_order(duty)
    await picture(duty, "cameras")
    nothing_thrown(duty)


async def test_an_address_is_good_for_one_user_and_a_while_and_every_look_is_written_down(
    watched: Stand,
) -> None:
    duty, leader = await watched.logged_in("duty"), await watched.logged_in("leader")
    assert watched.video is not None
    address = await watched.video.signed("cam-1", "duty", "")
    shown = await duty.get(address)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
    assert (await leader.get(address)).status_code == 403
    assert (await duty.get(address.replace("cam-1", "cam-2"))).status_code == 403
    assert (await duty.get("/cameras/cam-1/snapshot")).status_code == 403
    until = int(time.time()) - 1
    assert not await watched.video.is_signed("cam-1", "duty", "", "snapshot", until, "0" * 64)
    broken = await duty.get(await watched.video.signed("cam-3", "duty", ""))
    assert broken.status_code == 502
    stream = await duty.get(await watched.video.signed("cam-1", "duty", "C-1", "stream"))
    assert stream.text == "rtsp://camera/1\n"
    assert await watched.looks() == [
        ("duty", "cam-1", "snapshot", None, "shown"),
        ("duty", "cam-3", "snapshot", None, "no picture: 404 text/plain"),
        ("duty", "cam-1", "stream", "C-1", "told"),
    ]
