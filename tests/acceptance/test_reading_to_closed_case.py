"""The whole story in its order: a gas leak is sensed, judged, warned of, handled, checked and closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from cityvigil import demo
from cityvigil.audit import verify
from cityvigil.whole_city import WholeCity
from dispatch import audit
from dispatch.ledger import transition_of
from dispatch.people import People
from tests.acceptance.conftest import until

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]

PEOPLE = {
    "li": ({"duty"}, None),
    "wang": ({"leader"}, None),
    "gas-crew": ({"unit"}, "gas-company"),
    "zhao": ({"checker"}, None),
}


async def _log_in(city: WholeCity) -> dict[str, httpx.AsyncClient]:
    now = dt.datetime.now(dt.UTC)
    clients = {}
    async with AsyncConnectionPool(city.settings.postgres, min_size=1, open=False) as pool:
        people = People(pool)
        for name, (roles, unit) in PEOPLE.items():
            await people.add(name, roles=roles, unit=unit, now=now)
            token = await people.new_token(name, now)
            clients[name] = httpx.AsyncClient(
                base_url=f"{city.console}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=10
            )
    return clients


async def test_a_gas_leak_becomes_a_closed_case(city: WholeCity) -> None:
    by = await _log_in(city)

    async def case_of_the_leak() -> dict[str, Any] | None:
        items = (await by["li"].get("/cases", params={"zone": "shibei-01"})).json()["items"]
        return next((i for i in items if i["network"] == "gas" and i["level"] <= 2), None)

    # Sensed, judged, warned of.
    case = await until(case_of_the_leak, "a level-2 case of the leak")
    (fault,) = [fault for fault in demo.read_faults(city.data) if fault.kind == "gas-leak"]
    assert (case["state"], case["level"], case["unit"]) == ("detected", 2, "gas-company")
    found = (await by["li"].get(f"/cases/{case['case_id']}")).json()
    alert = found["alerts"][0]
    assert alert["subject"] in fault.subjects
    assert alert["evidence"]["value"] >= alert["evidence"]["limit"] == 2.5
    assert alert["evidence"]["text_zh"]
    assert alert["evidence"]["text_en"]
    assert alert["correlation"].startswith(alert["subject"].split("/")[1] + "/")

    # Told before anybody verified.
    async def told() -> set[str] | None:
        rows = await _rows(
            city,
            "select recipient from outbox where case_id = %s and step = 'pre-notice' and sent_at is not null",
            case["case_id"],
        )
        return {row["recipient"] for row in rows} or None

    assert "gas-company" in await until(told, "the pre-notice to the unit")

    # The curve that shows it.
    sensors = (await by["li"].get("/sensors", params={"zone": "shibei-01"})).json()["items"]
    number = {f"sensor/{s['gateway']}/{s['point']}": s["sensor"] for s in sensors}[alert["subject"]]
    window = {
        "from": (fault.onset - dt.timedelta(hours=1)).isoformat(),
        "to": (fault.end + dt.timedelta(hours=1)).isoformat(),
    }

    async def curve() -> list[Any] | None:
        answer = await by["li"].get(f"/sensors/{number}/readings", params=window)
        values = [row["value"] for row in answer.json()["items"]]
        return values if values and max(values) >= 2.5 else None

    await until(curve, "the leak in the sensor's history")

    # Handled: each by who may, none by who may not.
    act = _actor(by, case["case_id"])
    refused = await act("gas-crew", "verify", 0, result="real")
    assert refused.status_code == 403
    version = (await by["li"].get(f"/cases/{case['case_id']}")).json()["version"]
    stale = await act("li", "verify", version - 1 if version > 1 else version + 1, result="real")
    assert stale.status_code == 409
    assert stale.json()["case"]["case_id"] == case["case_id"]
    for name, action, more in (
        ("li", "verify", {"result": "real"}),
        ("li", "file", {}),
        ("li", "dispatch", {"unit": "gas-company"}),
        ("gas-crew", "accept", {}),
        ("gas-crew", "arrive", {}),
        ("gas-crew", "handle", {}),
        ("gas-crew", "report", {"evidence": {"note": "flange tightened, three clear readings"}}),
        ("zhao", "check", {}),
    ):
        await _acted(act, by["li"], case["case_id"], name, action, more)

    async def cleared() -> bool | None:
        now = (await by["li"].get(f"/cases/{case['case_id']}")).json()
        return True if now["condition"] == "cleared" else None

    await until(cleared, "the leak's alerts to clear")
    await _acted(act, by["li"], case["case_id"], "zhao", "close", {"reason": "stopped"})

    # Closed, and every step is in the books.
    closed = (await by["li"].get(f"/cases/{case['case_id']}")).json()
    assert closed["state"] == "closed"
    steps = [row["action"] for row in closed["transitions"] if row["actor"] in PEOPLE]
    assert steps == ["verify", "file", "dispatch", "accept", "arrive", "handle", "report", "check", "close"]
    query = "select * from case_transitions where case_id = %s order by seq"
    rows = await _rows(city, query, case["case_id"])
    assert audit.verify(transition_of(row) for row in rows) is None
    verdict = await verify(city.settings.kafka, city.settings.postgres)  # of the city that goes on meanwhile
    assert verdict.problems == []
    assert verdict.copies > 0
    for client in by.values():
        await client.aclose()


def _actor(by: dict[str, httpx.AsyncClient], case_id: str) -> Callable[..., Any]:
    async def act(name: str, action: str, version: int, **more: Any) -> httpx.Response:
        body = {"action": action, "version": version, **more}
        return await by[name].post(f"/cases/{case_id}/actions", json=body)

    return act


async def _acted(
    act: Callable[..., Any],
    reader: httpx.AsyncClient,
    case_id: str,
    name: str,
    action: str,
    more: dict[str, Any],
) -> None:
    """Acts on the newest version; an alert that joins in between is a 409, and one looks again."""

    async def tried() -> httpx.Response | None:
        version = (await reader.get(f"/cases/{case_id}")).json()["version"]
        answer = await act(name, action, version, **more)
        return None if answer.status_code == 409 else answer

    answer = await until(tried, f"{name} to {action}")
    assert answer.status_code == 200, answer.text


async def _rows(city: WholeCity, query: str, *values: object) -> list[dict[str, Any]]:
    dsn = city.settings.postgres
    async with await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row) as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()
