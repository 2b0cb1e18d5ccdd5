"""The response card beside a case: what is forbidden, and steps that stay ticked."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.browser.officers import a_leak, nothing_thrown, page_of, picture, row
from tests.case_builders import changed
from tests.console_stand import Stand


async def test_a_case_shows_its_card_and_ticked_steps_outlast_a_renewal(
    stand: Stand, browser: Browser
) -> None:
    leak = a_leak(stand)
    case_id = await stand.raise_alert(leak)
    duty = await page_of(browser, stand, "duty")
    await row(duty, case_id).click()
    card = duty.locator(".response-card")
    await expect(card.locator(".forbidden")).to_contain_text("未测气不得下井")
    await expect(card.locator("h3")).to_contain_text("30 分钟内")
    step = card.locator(".steps input").nth(1)
    await step.check()
    await picture(duty, "response-card")
    await stand.raise_alert(changed(leak, "clear"))
    await expect(duty.locator(".three .cleared")).to_be_visible()
    await expect(step).to_be_checked()
    await expect(card.locator(".steps input").first).not_to_be_checked()
    nothing_thrown(duty)


async def test_the_card_is_read_in_english_too(stand: Stand, browser: Browser) -> None:
    case_id = await stand.raise_alert(a_leak(stand))
    duty = await page_of(browser, stand, "duty", language="en")
    await row(duty, case_id).click()
    await expect(duty.locator(".response-card .forbidden")).to_contain_text("no entry without a gas test")
    await expect(duty.locator(".response-card")).to_contain_text("Gas company")
    nothing_thrown(duty)
