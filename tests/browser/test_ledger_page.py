"""The zero-loss ledger in Chromium: trouble first, kept up to date, for those who answer for the data."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from schemas.sequence import Mark
from streams import marks
from streams.batch import Account
from tests.browser.officers import nothing_thrown, page_of, picture
from tests.console_stand import Stand

pytestmark = [pytest.mark.browser, pytest.mark.integration]

WHOLE, GAP, WAITS = "gw-gas-shinan-01", "gw-heat-licang-01", "gw-water-shinan-01"


async def counted(stand: Stand, gateway: str, mark: Mark, account: Account) -> None:
    """What the historian writes in a transaction."""
    async with stand.pool.connection() as connection, connection.transaction():
        await marks.save(connection, {(gateway, 1): mark}, {})
        await marks.account(connection, {(gateway, 1): account})


@pytest.mark.parametrize(("language", "theme"), [("zh-CN", "dark"), ("en", "light")])
async def test_the_ledger_shows_trouble_first_and_follows_what_comes_in(
    stand: Stand, browser: Browser, language: str, theme: str
) -> None:
    await counted(stand, WHOLE, Mark(1_200), Account(1, frames=1_200, readings=600_000))
    await counted(stand, GAP, Mark(90), Account(1, frames=88, readings=44_000, given_up=2))
    await counted(stand, WAITS, Mark(50, (52,)), Account(1, frames=51, readings=25_500))
    page = await page_of(browser, stand, "duty", language=language, theme=theme, width=1366, height=900)
    await page.click('a[href="/ledger"]')
    rows = page.locator("#ledger-table tbody tr")
    await expect(rows.locator("th")).to_have_text([GAP, WAITS, WHOLE])
    await expect(page.locator("#ledger-sum")).to_contain_text("1,342")
    found = await Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await picture(page, f"ledger-{theme}")
    # The frame comes after all, and another gateway's counting goes wrong.
    await counted(stand, WAITS, Mark(52), Account(1, frames=1, readings=500))
    await counted(stand, WHOLE, Mark(1_201), Account(1, frames=0, readings=0))
    await expect(rows.locator("th")).to_have_text([WHOLE, GAP, WAITS])
    await expect(rows.first).to_have_class("wrong")
    nothing_thrown(page)


async def test_the_ledger_is_not_for_a_unit_and_ends_at_the_district(stand: Stand, browser: Browser) -> None:
    await counted(stand, WHOLE, Mark(7), Account(1, frames=7, readings=70))
    await counted(stand, GAP, Mark(3), Account(1, frames=3, readings=30))
    unit = await stand.logged_in("gas-company")
    assert (await unit.get("/ledger/table")).status_code == 403
    assert "/ledger" not in (await unit.get("/")).text
    duty = await stand.logged_in("duty")
    assert (await duty.get("/ledger/table")).text.count('scope="row"') == 2
    async with stand.pool.connection() as connection:
        await connection.execute("update users set districts = '{shinan}' where name = 'duty'")
    narrow = await stand.logged_in("duty")
    shown = (await narrow.get("/ledger/table")).text
    assert WHOLE in shown
    assert GAP not in shown
