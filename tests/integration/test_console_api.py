"""The console's HTTP API over real PostgreSQL: log-ins, lists, actions, errors, live events, the document."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from starlette.routing import Route

from dispatch.console.app import endpoints
from dispatch.console.endpoint import PREFIX
from tests.case_builders import changed
from tests.console_stand import Stand, a_console, a_leak, now, store_readings

pytestmark = pytest.mark.integration


@pytest.fixture
async def stand(postgres_dsn: str) -> AsyncIterator[Stand]:
    async with a_console(postgres_dsn, sensors=2) as made:
        yield made


async def act(client: httpx.AsyncClient, case: dict[str, Any], action: str, **more: Any) -> dict[str, Any]:
    body = {"action": action, "version": case["version"], **more}
    answer = await client.post(f"/api/v1/cases/{case['case_id']}/actions", json=body)
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_case_goes_from_alert_to_closed_over_the_api(stand: Stand) -> None:
    leak = a_leak()
    case_id = await stand.raise_alert(leak)
    duty, unit, checker = [await stand.logged_in(name) for name in ("duty", "gas-company", "checker")]
    case = (await duty.get(f"/api/v1/cases/{case_id}")).json()
    assert (case["state"], case["level"], case["unit"]) == ("detected", 1, "gas-company")
    assert "verify" in case["actions"]
    case = await act(duty, case, "verify", evidence={"result": "real"}, reason="phoned the site")
    case = await act(duty, case, "file")
    case = await act(duty, case, "dispatch", unit="gas-company")
    for action in ("accept", "arrive", "handle"):
        case = await act(unit, case, action)
    case = await act(unit, case, "report", evidence="valve closed, 0.0 %vol")
    await stand.raise_alert(changed(leak, "clear"))
    case = await act(checker, (await checker.get(f"/api/v1/cases/{case_id}")).json(), "check")
    case = await act(checker, case, "close")
    assert case["state"] == "closed"
    lines = [(line["action"], line["actor"]) for line in case["transitions"]]
    assert lines == [
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
    hashes = [(line["previous"], line["hash"]) for line in case["transitions"]]
    assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(hashes))


async def test_the_second_officer_is_told_the_case_as_it_is(stand: Stand) -> None:
    case_id = await stand.raise_alert(a_leak())
    first, second = await stand.logged_in("duty"), await stand.logged_in("leader")
    case = (await first.get(f"/api/v1/cases/{case_id}")).json()
    moved = await act(first, case, "verify", result="real")
    body = {"action": "verify", "version": case["version"], "result": "false"}
    refusal = problem(await second.post(f"/api/v1/cases/{case_id}/actions", json=body), 409)
    assert refusal["case"]["version"] == moved["version"]
    assert refusal["case"]["state"] == refusal["state"] == "verified"
    assert refusal["case"]["verdict"] == "real"
    body = {"action": "verify", "version": moved["version"], "result": "false"}
    assert (
        "not possible"
        in problem(await second.post(f"/api/v1/cases/{case_id}/actions", json=body), 409)["detail"]
    )


async def test_the_wrong_role_or_unit_is_refused(stand: Stand) -> None:
    case_id = await stand.raise_alert(a_leak())
    duty, unit, other = [await stand.logged_in(name) for name in ("duty", "gas-company", "water-group")]
    case = (await duty.get(f"/api/v1/cases/{case_id}")).json()
    verify = {"action": "verify", "version": case["version"], "result": "real"}
    problem(await unit.post(f"/api/v1/cases/{case_id}/actions", json=verify), 403)
    for step in ({"result": "real", "action": "verify"}, {"action": "file"}, {"action": "dispatch"}):
        case = await act(duty, case, step.pop("action"), **step)
    accept = {"action": "accept", "version": case["version"]}
    problem(await other.post(f"/api/v1/cases/{case_id}/actions", json=accept), 403)
    problem(await other.get(f"/api/v1/cases/{case_id}"), 403)
    assert (await other.get("/api/v1/cases")).json()["items"] == []
    assert (await other.get("/api/v1/alerts")).json()["items"] == []
    assert [one["case_id"] for one in (await unit.get("/api/v1/cases")).json()["items"]] == [case_id]


async def test_districts_limit_what_is_seen_and_done(stand: Stand) -> None:
    shinan = await stand.raise_alert(a_leak())
    shibei = await stand.raise_alert(
        a_leak(zone="shibei-01", district="shibei", subject="sensor/gw-gas-shibei-01/p0")
    )
    password, _ = await stand.people.add("li", roles=["duty"], districts=["shibei"], now=now())
    stand.passwords["li"] = password
    li = await stand.logged_in("li")
    assert [one["case_id"] for one in (await li.get("/api/v1/cases")).json()["items"]] == [shibei]
    assert [one["zone"] for one in (await li.get("/api/v1/alerts")).json()["items"]] == ["shibei-01"]
    problem(await li.get(f"/api/v1/cases/{shinan}"), 403)
    body = {"action": "verify", "version": 1, "result": "real"}
    problem(await li.post(f"/api/v1/cases/{shinan}/actions", json=body), 403)
    assert {one["zone"] for one in (await li.get("/api/v1/sensors")).json()["items"]} == {"shibei-01"}


async def test_alerts_are_acknowledged_once_silenced_and_shelved(stand: Stand) -> None:
    leak = a_leak()
    await stand.raise_alert(leak)
    duty, leader, unit = [await stand.logged_in(name) for name in ("duty", "leader", "gas-company")]
    at = f"/api/v1/alerts/{leak.alert_id}"
    silenced = (await duty.post(f"{at}/silence")).json()
    assert silenced["silenced_until"] is not None
    assert silenced["acknowledged_by"] is None
    assert (await duty.post(f"{at}/acknowledge")).json()["already"] is False
    again = (await leader.post(f"{at}/acknowledge")).json()
    assert (again["already"], again["acknowledged_by"]) == (True, "duty")
    until = (now() + dt.timedelta(hours=2)).isoformat()
    shelved = (await duty.post(f"{at}/shelve", json={"until": until, "reason": "works on site"})).json()
    assert shelved["shelved_reason"] == "works on site"
    assert (await duty.post(f"{at}/unshelve")).json()["shelved_until"] is None
    problem(await unit.post(f"{at}/acknowledge"), 403)
    problem(await duty.post("/api/v1/alerts/none/acknowledge"), 404)
    far = (now() + dt.timedelta(days=2)).isoformat()
    problem(await duty.post(f"{at}/shelve", json={"until": far, "reason": "x"}), 422)


async def test_pages_of_a_list_follow_each_other_without_a_gap(stand: Stand) -> None:
    made = [
        await stand.raise_alert(
            a_leak(zone=zone, district=zone.split("-")[0], subject=f"sensor/gw-gas-{zone}/p0")
        )
        for zone in ("shinan-01", "shinan-02", "shibei-01", "licang-01", "laoshan-01")
    ]
    duty = await stand.logged_in("duty")
    found: list[str] = []
    cursor = ""
    while True:
        page = (await duty.get("/api/v1/cases", params={"limit": 2, "cursor": cursor})).json()
        found += [one["case_id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert found == made[::-1]
    chosen = (
        await duty.get("/api/v1/cases", params={"zone": "shibei-01", "level": 1, "state": "detected"})
    ).json()
    assert [one["case_id"] for one in chosen["items"]] == [made[2]]


async def test_a_case_by_hand_begins_with_a_person(stand: Stand) -> None:
    duty, unit = await stand.logged_in("duty"), await stand.logged_in("gas-company")
    body = {"category": "gas_manhole_methane", "zone": "shinan-01", "place": "No. 3", "text": "smell of gas"}
    answer = await duty.post("/api/v1/cases", json={**body, "caller": "Zhao"})
    assert answer.status_code == 201
    assert (await duty.get(answer.headers["location"])).json()["caller"] == "Zhao"
    problem(await unit.post("/api/v1/cases", json=body), 403)
    refusal = problem(await duty.post("/api/v1/cases", json={**body, "category": "no_such"}), 422)
    assert "no_such" in refusal["detail"]


@pytest.mark.parametrize(
    ("body", "field", "expected", "came"),
    [
        ({"action": "file"}, "version", "a value", "nothing"),
        ({"action": "file", "version": "1"}, "version", "int", "1"),
        ({"action": "file", "version": 1, "colour": "red"}, "colour", "no such field", "red"),
        ({"action": "explode", "version": 1}, "action", "one of ", "explode"),
        ({"action": "verify", "version": 1}, "result", "a value", "nothing"),
    ],
)
async def test_a_wrong_body_says_field_expected_and_came(
    stand: Stand, body: dict[str, Any], field: str, expected: str, came: str
) -> None:
    case_id = await stand.raise_alert(a_leak())
    duty = await stand.logged_in("duty")
    (error,) = problem(await duty.post(f"/api/v1/cases/{case_id}/actions", json=body), 422)["errors"]
    assert error["field"] == field
    assert error["expected"].startswith(expected)
    assert error["came"] == came


async def test_every_refusal_is_a_problem_document(stand: Stand) -> None:
    nobody = await stand.visitor()
    duty = await stand.logged_in("duty")
    problem(await nobody.get("/api/v1/cases"), 401)
    problem(await nobody.get("/live"), 401)
    problem(await nobody.get("/api/v1/cases", headers={"Authorization": "Bearer cv_wrong"}), 401)
    problem(await duty.get("/api/v1/nothing"), 404)
    problem(await duty.get("/nothing"), 404)
    problem(await duty.get("/api/v1/cases/C-none"), 404)
    problem(await duty.get("/api/v1/sensors/99999"), 404)
    refusal = await duty.delete("/api/v1/cases")
    problem(refusal, 405)
    assert set(re.split(r",\s*", refusal.headers["allow"])) >= {"GET", "POST"}
    problem(await duty.get("/api/v1/users"), 403)
    for query in ("level=9", "level=red", "limit=0", "state=sleeping", "cursor=zzz", "limit=99999"):
        problem(await duty.get(f"/api/v1/cases?{query}"), 422)
    problem(await duty.get("/api/v1/sensors/1/readings?from=yesterday"), 422)
    problem(await duty.get("/api/v1/sensors/1/readings?from=2026-01-01T00:00:00"), 422)
    problem(await duty.post("/api/v1/cases", content=b"{", headers={"Content-Type": "application/json"}), 400)
    problem(await duty.post("/api/v1/cases", content=b"x=1"), 415)
    big = json.dumps({"text": "x" * 100_000}).encode()
    problem(await duty.post("/api/v1/cases", content=big, headers={"Content-Type": "application/json"}), 413)
    nul = {"category": "gas_manhole_methane", "zone": "shinan-01", "place": None, "text": "a\x00b"}
    problem(await duty.post("/api/v1/cases", json=nul), 422)
    problem(await duty.get("/api/v1/cases/%00"), 422)
    problem(await duty.get("/api/v1/sensors?zone=%00"), 422)
    problem(await nobody.post("/api/v1/session", json={"user": "\x00", "password": ""}), 422)


async def test_a_write_of_another_site_is_refused_and_a_programs_is_not(stand: Stand) -> None:
    duty = await stand.logged_in("duty")
    leak = a_leak()
    await stand.raise_alert(leak)
    at = f"/api/v1/alerts/{leak.alert_id}/silence"
    problem(await duty.post(at, headers={"Origin": "https://evil.example"}), 403)
    problem(await duty.post(at, headers={"Sec-Fetch-Site": "cross-site"}), 403)
    problem(await duty.post(at, headers={"Sec-Fetch-Site": "same-site", "Origin": stand.url}), 403)
    assert (await duty.post(at, headers={"Origin": stand.url})).status_code == 200
    assert (await duty.post(at)).status_code == 200
    login = {"user": "duty", "password": stand.passwords["duty"]}
    problem(await duty.post("/api/v1/session", json=login, headers={"Origin": "https://evil.example"}), 403)


async def test_the_session_cookie_is_for_the_browser_only_and_ends(stand: Stand) -> None:
    login = {"user": "duty", "password": stand.passwords["duty"]}
    client = await stand.visitor()
    answer = await client.post("/api/v1/session", json=login)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert (await client.get("/api/v1/session")).json()["user"] == "duty"
    assert (await client.delete("/api/v1/session")).status_code == 204
    client.cookies.set("cityvigil_session", cookie.split("=", 1)[1].split(";")[0])
    problem(await client.get("/api/v1/session"), 401)


async def test_a_bearer_token_does_what_its_user_may(stand: Stand) -> None:
    token = await stand.people.new_token("duty", now())
    case_id = await stand.raise_alert(a_leak())
    program = await stand.visitor(Authorization=f"Bearer {token}")
    case = (await program.get(f"/api/v1/cases/{case_id}")).json()
    assert (await act(program, case, "verify", result="real"))["transitions"][-1]["actor"] == "duty"
    await stand.people.disable("duty", now())
    problem(await program.get("/api/v1/cases"), 401)


async def test_too_many_wrong_passwords_are_told_to_wait(stand: Stand) -> None:
    client = await stand.visitor()
    wrong = {"user": "duty", "password": "guess"}
    for _ in range(5):
        problem(await client.post("/api/v1/session", json=wrong), 401)
    refusal = await client.post("/api/v1/session", json={"user": "duty", "password": stand.passwords["duty"]})
    problem(refusal, 429)
    assert 0 < int(refusal.headers["retry-after"]) <= 300
    code = {"user": "leader", "password": stand.passwords["leader"], "code": "123456"}
    assert "no second factor" in problem(await client.post("/api/v1/session", json=code), 422)["detail"]


async def test_readings_of_a_sensor_come_back_by_window(stand: Stand) -> None:
    until = now().replace(microsecond=0) - dt.timedelta(minutes=1)
    await store_readings(stand, 1, until, [0.5, 1.5, float("nan"), 2.5])
    duty = await stand.logged_in("duty")
    assert [row["value"] for row in (await duty.get("/api/v1/sensors/1/readings")).json()["items"]] == [
        0.5, 1.5, None, 2.5,
    ]  # fmt: skip
    window = {"from": (until - dt.timedelta(minutes=2)).isoformat(), "to": until.isoformat()}
    found = (await duty.get("/api/v1/sensors/1/readings", params=window)).json()["items"]
    assert [(row["value"], row["quality"]) for row in found] == [(1.5, "good"), (None, "good")]


async def test_the_openapi_document_is_true_to_the_routes(stand: Stand) -> None:
    nobody = await stand.visitor()
    document = (await nobody.get("/api/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    served = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in stand.console.app.routes
        if isinstance(route, Route) and route.path.startswith(PREFIX)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert described == served
    text = json.dumps(document)
    assert "#/$defs" not in text
    for name in re.findall(r"#/components/schemas/([\w.]+)", text):
        assert name in document["components"]["schemas"]
    # Nobody is let in where the document says that a log-in is needed.
    for one in endpoints():
        path = PREFIX + re.sub(r"{\w+:int}", "1", re.sub(r"{\w+}", "x", one.path))
        answer = await nobody.request(one.method, path, json={} if one.body else None)
        assert (answer.status_code == 401) != one.open, (one.method, path, answer.status_code)


async def test_answers_are_what_the_document_says(stand: Stand) -> None:
    case_id = await stand.raise_alert(a_leak())
    duty, admin = await stand.logged_in("duty"), await stand.logged_in("admin")
    leak = (await duty.get("/api/v1/alerts")).json()["items"][0]["alert_id"]
    asked: dict[str, httpx.AsyncClient] = {
        "/session": duty,
        "/alerts": duty,
        f"/alerts/{leak}": duty,
        "/cases": duty,
        f"/cases/{case_id}": duty,
        "/sensors": duty,
        "/sensors/1": duty,
        "/sensors/1/readings": duty,
        "/units": duty,
        "/rules": duty,
        "/users": admin,
        "/health": duty,
    }
    by_path = {one.path: one.answers for one in endpoints() if one.method == "GET" and one.answers}
    seen = set()
    for path, client in asked.items():
        answer = await client.get(PREFIX + path)
        assert answer.status_code == 200, (path, answer.text)
        pattern = next(one for one in by_path if re.fullmatch(re.sub(r"{\w+(:int)?}", "[^/]+", one), path))
        seen.add(pattern)
        msgspec.json.decode(answer.content, type=by_path[pattern])
    assert seen == set(by_path)


async def test_no_page_holds_a_script_or_style_and_the_policy_forbids_them(stand: Stand) -> None:
    case_id = await stand.raise_alert(a_leak())
    duty = await stand.logged_in("duty")
    for path in (
        "/",
        "/login",
        f"/cases/{case_id}",
        f"/cases/{case_id}/panel",
        "/rejects",
        "/sensors/1/panel",
    ):
        client = await stand.visitor() if path == "/login" else duty
        answer = await client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        scripts = re.findall(r"<script\b[^>]*>", answer.text)
        assert all("src=" in tag or 'type="application/json"' in tag for tag in scripts), path
        assert not re.search(r"<style|\sstyle=|\son\w+=", answer.text), path
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
    page = (await duty.get("/")).text
    (sheet,) = re.findall(r'href="(/static/[^"]+console\.css)"', page)
    assert "immutable" in (await duty.get(sheet)).headers["cache-control"]


async def test_a_page_that_needs_a_log_in_leads_there_and_back(stand: Stand) -> None:
    case_id = await stand.raise_alert(a_leak())
    visitor = await stand.visitor()
    sent = await visitor.get(f"/cases/{case_id}", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"/login?next=/cases/{case_id}")
    form = {"user": "duty", "password": stand.passwords["duty"], "next": f"/cases/{case_id}"}
    assert (await visitor.post("/login", data=form)).headers["location"] == f"/cases/{case_id}"
    visitor = await stand.visitor()
    form = {"user": "duty", "password": stand.passwords["duty"], "next": "//evil.example/"}
    assert (await visitor.post("/login", data=form)).headers["location"] == "/"


async def test_rejects_are_shown_by_gateway_and_reason(stand: Stand) -> None:
    duty = await stand.logged_in("duty")
    page = (await duty.get("/rejects")).text
    assert "gw-gas-n01-1" in page
    assert "格式错误" in page
    assert (await duty.get("/api/v1/health")).json()["rejects"][0]["count"] == 3


async def test_health_routes_and_metrics_are_mounted(stand: Stand) -> None:
    anyone = await stand.visitor()
    assert (await anyone.get("/healthz")).json()["status"] == "alive"
    assert (await anyone.get("/readyz")).status_code == 200
    await anyone.get("/api/v1/openapi.json")
    assert (
        'cityvigil_console_requests_total{method="GET",route="/api/v1/openapi.json"'
        in (await anyone.get("/metrics")).text
    )
