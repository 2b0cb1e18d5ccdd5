"""The duty screen in Debian's Chromium: one case from alert to closed by several people, and what an
officer relies on for twelve hours.
"""

from __future__ import annotations

import asyncio

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, expect

from dispatch.console.render import CITY_OFFSET
from schemas.clock import to_datetime
from tests.browser.officers import (
    PATIENCE_MS,
    WHY_ZH,
    a_leak,
    a_leak_with_its_readings,
    nothing_thrown,
    page_of,
    picture,
    press_act,
    row,
)
from tests.browser.wire import Wire, a_wire
from tests.case_builders import changed
from tests.console_stand import Stand, now_us

pytestmark = [pytest.mark.browser, pytest.mark.integration]


async def test_one_case_goes_from_alert_to_closed_through_several_people(
    stand: Stand, browser: Browser
) -> None:
    duty = await page_of(browser, stand, "duty")
    crew = await page_of(browser, stand, "gas-company", width=390, height=844)
    checker = await page_of(browser, stand, "checker", width=1366, height=768)

    leak = await a_leak_with_its_readings(stand)
    case_id = await stand.raise_alert(leak)
    await expect(row(duty, case_id)).to_be_visible()  # without a reload
    await row(duty, case_id).click()
    await expect(duty.locator(".why")).to_have_text(WHY_ZH)
    await expect(duty.locator(".measure")).to_contain_text("2.61")
    await expect(duty.locator(".chart canvas")).to_be_visible()
    await expect(duty.locator(".three .not-yet")).to_be_visible()
    await picture(duty, "duty-screen")

    await duty.keyboard.press("a")
    await expect(duty.locator(".three")).to_contain_text("duty")
    await duty.keyboard.press("v")
    await duty.keyboard.press("Tab")
    await duty.keyboard.type("电话核实，井口有气味")
    await duty.keyboard.press("Enter")
    await expect(duty.locator(".timeline li").first).to_have_attribute("data-action", "verify")
    await expect(duty.locator(".timeline li").first).to_contain_text("电话核实，井口有气味")
    await press_act(duty, "file")
    await expect(duty.locator("[name=unit]")).to_have_value("gas-company")
    await duty.locator("#detail h2").click()  # leaves the form
    await duty.keyboard.press("d")  # goes to the button, and Enter does it
    await duty.keyboard.press("Enter")
    await expect(duty.locator(".timeline li").first).to_have_attribute("data-action", "dispatch")
    await expect(row(duty, case_id).locator(".state")).to_contain_text("已派遣")

    await expect(row(crew, case_id)).to_be_visible()
    await row(crew, case_id).click()
    await crew.wait_for_url(f"{stand.url}/cases/{case_id}")
    await picture(crew, "crew-phone")
    for action in ("accept", "arrive", "handle"):
        await press_act(crew, action)
    await crew.fill("textarea[name=evidence]", "已关闭阀门，井内甲烷 0.0%")
    await press_act(crew, "report")
    await expect(row(duty, case_id).locator(".state")).to_contain_text("已反馈")

    await stand.raise_alert(changed(leak, "clear"))
    await row(checker, case_id).click()
    await expect(checker.locator(".three .cleared")).to_be_visible()
    await press_act(checker, "check")
    await press_act(checker, "close")
    await picture(checker, "closed-case")
    await expect(duty.locator(".three .state")).to_have_text("已结案")
    await expect(row(duty, case_id)).to_have_count(0)

    case = await stand.store.case(case_id)
    assert case is not None
    done = [(line["action"], line["actor"]) for line in case["transitions"]]
    assert done == [
        ("open", "dispatch"),
        ("verify", "duty"),
        ("file", "duty"),
        ("dispatch", "duty"),
        ("accept", "gas-company"),
        ("arrive", "gas-company"),
        ("handle", "gas-company"),
        ("report", "gas-company"),
        ("check", "checker"),
        ("close", "checker"),
    ]
    nothing_thrown(duty, crew, checker)


async def test_a_case_of_two_networks_says_what_probably_caused_it(stand: Stand, browser: Browser) -> None:
    leak = a_leak(stand)
    sewer = a_leak(
        stand, rule="drain-sewer-methane", category="drain_sewer_methane", network="drainage", level=2,
        subject="sensor/gw-drain-1/ch4",
    )  # fmt: skip
    case_id = await stand.raise_alert(leak, sewer)
    duty = await page_of(browser, stand, "duty")
    await row(duty, case_id).click()
    cause = duty.locator(".cause")
    await expect(cause.locator("p b")).to_have_text("燃气相邻地下空间甲烷浓度")
    await expect(cause.locator("li")).to_contain_text("污水")
    await picture(duty, "probable-cause")
    nothing_thrown(duty)


PRESS_AS_IT_APPEARS = """
action => new MutationObserver((_, watch) => {
  const form = document.querySelector(`form[data-act="${action}"]`);
  if (!form) return;
  watch.disconnect();
  form.requestSubmit();
}).observe(document.getElementById("detail"), { childList: true, subtree: true })
"""


async def test_a_button_works_in_the_moment_it_appears(stand: Stand, browser: Browser) -> None:
    case_id = await stand.raise_alert(a_leak(stand))
    duty = await page_of(browser, stand, "duty")
    await duty.evaluate(PRESS_AS_IT_APPEARS, "acknowledge")
    await row(duty, case_id).click()
    await expect(duty.locator(".three")).to_contain_text("duty")
    await duty.evaluate(PRESS_AS_IT_APPEARS, "file")
    await press_act(duty, "verify", "file")
    assert duty.url == f"{stand.url}/"
    nothing_thrown(duty)


async def test_the_second_officer_is_shown_what_the_first_did(stand: Stand, browser: Browser) -> None:
    case_id = await stand.raise_alert(a_leak(stand))
    first, second = await page_of(browser, stand, "duty"), await page_of(browser, stand, "leader")
    for page in (first, second):
        await row(page, case_id).click()
        await expect(page.locator('form[data-act="verify"]')).to_be_visible()
    await second.locator('form[data-act="verify"] input[name=reason]').fill("我在查视频")
    await press_act(first, "verify")
    # What the second officer wrote is kept; the page says that the case has moved on.
    await expect(second.locator("#moved")).to_contain_text("已核实")
    await expect(second.locator('form[data-act="verify"] input[name=reason]')).to_have_value("我在查视频")
    await second.locator('form[data-act="verify"] button').click()
    await expect(second.locator(".said.bad")).to_contain_text("duty")
    await expect(second.locator(".three .state")).to_have_text("已核实")
    nothing_thrown(first, second)


async def test_a_renewal_takes_no_words_from_who_is_writing(stand: Stand, browser: Browser) -> None:
    leak = a_leak(stand)
    case_id = await stand.raise_alert(leak)
    duty = await page_of(browser, stand, "duty")
    await row(duty, case_id).click()
    note = duty.locator('form[data-act="verify"] input[name=reason]')
    await expect(note).to_be_visible()
    answered = asyncio.Event()

    async def late(route: Route) -> None:
        """The answer comes only after the officer has begun to write."""
        answer = await route.fetch()
        await note.fill("电话核实")
        await route.fulfill(response=answer)
        answered.set()

    await duty.route("**/panel", late)
    await stand.raise_alert(changed(leak, "clear"))
    await asyncio.wait_for(answered.wait(), PATIENCE_MS / 1000)
    await duty.unroute("**/panel")
    await expect(note).to_have_value("电话核实")
    await expect(duty.locator(".three .active")).to_be_visible()
    # Who stops writing gets the rest.
    await note.fill("")
    await duty.locator("#search").focus()
    await expect(duty.locator(".three .cleared")).to_be_visible()
    nothing_thrown(duty)


SHOW_RENEWALS = """
() => {
  let came = 0;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.requestConfig.headers["X-Renewal"]) document.body.dataset.renewals = ++came;
  });
}
"""


async def test_a_button_that_is_pressed_while_the_case_is_renewed_is_still_clicked(
    stand: Stand, browser: Browser
) -> None:
    leak = a_leak(stand)
    case_id = await stand.raise_alert(leak)
    duty = await page_of(browser, stand, "duty")
    await row(duty, case_id).click()
    await duty.locator('form[data-act="acknowledge"] button').hover()
    await duty.evaluate(SHOW_RENEWALS)
    await duty.mouse.down()
    await stand.raise_alert(changed(leak, "clear"))
    # A renewal that was put off is asked for again; one that was taken shows that the alert has cleared.
    renewed = duty.locator('body[data-renewals]:not([data-renewals="1"]), .three .cleared')
    await expect(renewed.first).to_be_attached()
    await duty.mouse.up()
    await expect(duty.locator(".three .not-yet")).to_have_count(0)
    await expect(duty.locator(".three .cleared")).to_be_visible()
    known = await stand.store.alert(leak.alert_id)
    assert known is not None
    assert known["acknowledged_by"] == "duty"
    nothing_thrown(duty)


async def test_a_lost_connection_is_loud_and_the_page_catches_up_by_itself(
    stand: Stand, browser: Browser
) -> None:
    async with a_wire("127.0.0.1", stand.console.port) as wire:
        await lose_and_catch_up(stand, browser, wire)


async def lose_and_catch_up(stand: Stand, browser: Browser, wire: Wire) -> None:
    duty = await page_of(browser, stand, "duty", at=wire.url)
    await duty.evaluate("window.sameLife = true")
    wire.cut()
    await expect(duty.locator("#lost")).to_be_visible()
    since = to_datetime(now_us()).astimezone(CITY_OFFSET).strftime("%H:")
    await expect(duty.locator("#lost")).to_contain_text(since)
    await expect(duty.locator("body")).to_have_class("duty-page is-lost")
    await picture(duty, "lost-connection")
    case_id = await stand.raise_alert(a_leak(stand))
    wire.mend()
    await expect(row(duty, case_id)).to_be_visible()
    await expect(duty.locator("#lost")).to_be_hidden()
    assert await duty.evaluate("window.sameLife")
    nothing_thrown(duty)


async def test_updates_do_not_shift_the_page(stand: Stand, browser: Browser) -> None:
    mild = a_leak(stand, "licang-01", level=3)
    first = await stand.raise_alert(mild)
    duty = await page_of(browser, stand, "duty")
    await expect(row(duty, first)).to_be_visible()
    await duty.evaluate(
        """() => { window.shifted = [];
        new PerformanceObserver((list) => window.shifted.push(...list.getEntries().map((one) =>
          [one.value, one.sources.map((s) => s.node?.className ?? s.node?.nodeName)])))
          .observe({ type: "layout-shift" }); }"""
    )
    for zone in ("shinan-01", "shinan-02", "shibei-01", "laoshan-01"):
        case_id = await stand.raise_alert(a_leak(stand, zone))
        await expect(row(duty, case_id)).to_be_visible()
    await stand.raise_alert(changed(mild, "upgrade", level=1))
    await expect(row(duty, first)).to_have_attribute("data-level", "1")
    await expect(duty.locator(".row")).to_have_count(5)
    assert await duty.evaluate("window.shifted") == []
    levels = await duty.locator(".row").evaluate_all("rows => rows.map((one) => one.dataset.level)")
    assert levels == sorted(levels)
    nothing_thrown(duty)


async def test_the_order_stands_still_while_the_pointer_moves_over_the_queue(
    stand: Stand, browser: Browser
) -> None:
    calm = await stand.raise_alert(a_leak(stand, "licang-01", level=4))
    duty = await page_of(browser, stand, "duty")
    box = await row(duty, calm).bounding_box()
    assert box is not None
    await duty.mouse.move(box["x"] + 60, box["y"] + 20)
    await duty.mouse.move(box["x"] + 70, box["y"] + 25)
    await duty.evaluate("Date.now = ((still) => () => still)(Date.now())")  # the pointer never rests
    grave = await stand.raise_alert(a_leak(stand))
    await expect(duty.locator("#queue-notice")).to_contain_text("1 件新案件")
    assert await row(duty, grave).count() == 0
    assert await row(duty, calm).bounding_box() == box
    await duty.mouse.move(box["x"] + box["width"] + 300, box["y"])
    await expect(row(duty, grave)).to_be_visible()
    nothing_thrown(duty)


async def test_keys_work_without_a_mouse_and_not_while_writing(stand: Stand, browser: Browser) -> None:
    leak = a_leak(stand)
    grave = await stand.raise_alert(leak)
    mild = await stand.raise_alert(a_leak(stand, "licang-01", level=3))
    duty = await page_of(browser, stand, "duty")
    await expect(row(duty, mild)).to_be_visible()
    await duty.keyboard.press("j")
    await expect(row(duty, grave).locator("a")).to_be_focused()
    await duty.keyboard.press("a")  # level 1 is acknowledged only with the case open
    await expect(duty.locator("#toast")).to_be_visible()
    known = await stand.store.alert(leak.alert_id)
    assert known is not None
    assert known["acknowledged_by"] is None
    await duty.keyboard.press("j")
    await expect(row(duty, mild).locator("a")).to_be_focused()
    await duty.keyboard.press("k")
    await duty.keyboard.press("Enter")
    await expect(duty.locator("article.case")).to_have_attribute("data-case", grave)
    await duty.keyboard.press("/")
    await duty.keyboard.type("jjaa")
    await expect(duty.locator("#search")).to_have_value("jjaa")
    await expect(duty.locator(".row")).to_have_count(0)
    await expect(duty.locator("#help")).to_be_hidden()
    await duty.keyboard.press("Escape")
    await duty.locator("#search").fill("")
    await duty.keyboard.press("Escape")
    await duty.keyboard.press("Shift+Slash")
    await expect(duty.locator("#help")).to_be_visible()
    await duty.locator("#keys-on").uncheck()
    await duty.keyboard.press("Escape")
    await duty.keyboard.press("Shift+Slash")
    await expect(duty.locator("#help")).to_be_hidden()
    nothing_thrown(duty)


async def test_silence_is_not_an_acknowledgement(stand: Stand, browser: Browser) -> None:
    leak = a_leak(stand)
    duty = await page_of(browser, stand, "duty")
    await duty.click("#sound")
    await expect(duty.locator("#sound")).to_have_attribute("data-state", "on")
    case_id = await stand.raise_alert(leak)
    await expect(row(duty, case_id)).to_be_visible()
    await duty.locator("#rate").click()
    async with duty.expect_response(lambda answer: answer.url.endswith("/silence")) as answered:
        await duty.keyboard.press("Space")
    assert (await answered.value).ok
    alert = await stand.store.alert(leak.alert_id)
    assert alert is not None
    assert alert["silenced_until"] is not None
    assert alert["acknowledged_by"] is None
    await expect(duty.locator("#sound")).to_have_attribute("data-state", "silent")
    upgraded = await stand.raise_alert(a_leak(stand, "shibei-01", level=2))
    await expect(row(duty, upgraded)).to_be_visible()
    await expect(duty.locator("#sound")).to_have_attribute("data-state", "on")
    nothing_thrown(duty)


async def test_a_phone_call_becomes_a_case_and_is_opened(stand: Stand, browser: Browser) -> None:
    duty = await page_of(browser, stand, "duty")
    await duty.keyboard.press("c")
    dialog = duty.locator("#new-case-dialog")
    await dialog.locator("[name=category]").fill("no_such_thing")
    await dialog.locator("[name=zone]").select_option("shinan-01")
    await dialog.locator("[name=place]").fill("香港中路3号")
    await dialog.locator("[name=text]").fill("井盖处有燃气味")
    await dialog.locator("button.primary").click()
    await expect(dialog.locator(".said.bad")).to_contain_text("no_such_thing")
    await dialog.locator("[name=category]").fill("gas_manhole_methane")
    await dialog.locator("button.primary").click()
    await expect(duty.locator("article.case .why")).to_have_text("井盖处有燃气味")
    await expect(dialog).to_be_hidden()
    nothing_thrown(duty)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1366, 768)])
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_the_duty_screen_fits_without_scrolling(
    stand: Stand, browser: Browser, width: int, height: int, language: str
) -> None:
    case_id = await stand.raise_alert(await a_leak_with_its_readings(stand))
    duty = await page_of(browser, stand, "duty", width=width, height=height, language=language)
    await row(duty, case_id).click()
    await expect(duty.locator(".chart canvas")).to_be_visible()
    size = await duty.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight,"
        " document.querySelector('.trust').scrollWidth, document.querySelector('.foot').scrollWidth]"
    )
    assert size == [width, height, width, width]
    # What can be done is in sight without scrolling the detail.
    await expect(duty.locator(".acts button").last).to_be_in_viewport()
    await picture(duty, f"duty-{width}-{language}")
    nothing_thrown(duty)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_axe_finds_nothing_on_any_page(
    stand: Stand, browser: Browser, language: str, theme: str
) -> None:
    stand.trust |= {"gateways_offline": 1, "offline": [{"gateway": "gw-gas-shibei-01", "zone": "shibei-01"}]}
    case_id = await stand.raise_alert(await a_leak_with_its_readings(stand))
    for level, zone in ((2, "shinan-02"), (3, "licang-01"), (4, "laoshan-01")):
        await stand.raise_alert(a_leak(stand, zone, level=level))
    duty = await page_of(browser, stand, "duty", language=language, theme=theme)
    await row(duty, case_id).click()
    await expect(duty.locator(".chart canvas")).to_be_visible()
    await duty.click(".me summary")
    wrong = {"duty": await violations(duty)}
    await picture(duty, f"duty-{language}-{theme}")
    await duty.keyboard.press("Shift+Slash")
    wrong["help"] = await violations(duty)
    await duty.set_viewport_size({"width": 390, "height": 844})
    for name, path in (("case", f"/cases/{case_id}"), ("phone", "/"), ("rejects", "/rejects")):
        await duty.goto(stand.url + path)
        await expect(duty.locator("#link")).to_have_attribute("data-state", "ok")
        wrong[name] = await violations(duty)
        if name == "phone":
            await duty.set_viewport_size({"width": 1366, "height": 768})
    await picture(duty, f"rejects-{language}-{theme}")
    await duty.goto(f"{stand.url}/")
    await duty.click("button[data-tab=map]")
    await expect(duty.locator(".blind path")).to_have_count(1)
    wrong["map"] = await violations(duty)
    await picture(duty, f"map-{language}-{theme}")
    await duty.context.clear_cookies(name="cityvigil_session")
    await duty.goto(f"{stand.url}/login")
    wrong["login"] = await violations(duty)
    await picture(duty, f"login-{language}-{theme}")
    assert {name: found for name, found in wrong.items() if found} == {}
    nothing_thrown(duty)


async def violations(page: Page) -> list[str]:
    results = await Axe().run(page)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in results.response["violations"]
        for node in one["nodes"]
    ]
