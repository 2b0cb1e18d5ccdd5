"""The console's live stream over real PostgreSQL: ids rise, none is missed, each hears of what is theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from tests.console_stand import Stand, a_console, a_leak

pytestmark = pytest.mark.integration


@pytest.fixture
async def stand(postgres_dsn: str) -> AsyncIterator[Stand]:
    async with a_console(postgres_dsn, sensors=2) as made:
        yield made


class Listener:
    """A live stream, read as a browser does."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, *kinds: str) -> tuple[int, str, dict[str, Any]]:
        """The next event of one of these kinds."""
        event: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "event" in event:
                if event["event"] in kinds:
                    return int(event["id"]), event["event"], json.loads(event["data"])
                event = {}
        raise AssertionError("the stream ended")


@asynccontextmanager
async def listening(client: httpx.AsyncClient, after: int | None = None) -> AsyncIterator[Listener]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with asyncio.timeout(30), client.stream("GET", "/live", headers=headers, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer.aiter_lines())


async def test_live_events_rise_and_a_listener_that_was_away_misses_none(stand: Stand) -> None:
    duty = await stand.logged_in("duty")
    leak = a_leak()
    async with listening(duty) as live:
        health_id, _, health = await live.next("health")
        assert health["gateways"] == 25
        await stand.raise_alert(leak)
        case_id, _, case = await live.next("case")
        alert_id, _, alert = await live.next("alert")
        assert health_id < case_id < alert_id
        assert (case["state"], alert["alert_id"], alert["case_id"]) == (
            "detected",
            leak.alert_id,
            case["case_id"],
        )
    await duty.post(f"/api/v1/alerts/{leak.alert_id}/acknowledge")
    async with listening(duty, alert_id) as live:
        seen = [await live.next("case", "alert") for _ in range(2)]
        assert {kind for _, kind, _ in seen} == {"case", "alert"}
        assert all(payload["acknowledged_by"] == "duty" for _, _, payload in seen)
        assert alert_id < seen[0][0] < seen[1][0]
    async with listening(duty, 0) as live:
        assert (await live.next("case"))[0] == case_id


async def test_an_id_of_another_life_of_the_database_resets_the_listener(stand: Stand) -> None:
    await stand.raise_alert(a_leak())
    duty = await stand.logged_in("duty")
    async with listening(duty, 10**15) as live:
        reset_id, _, _ = await live.next("reset")
        await stand.raise_alert(a_leak(zone="shibei-01", subject="sensor/gw-gas-shibei-01/p0"))
        assert (await live.next("case"))[0] > reset_id


async def test_a_unit_hears_of_its_own_cases_only(stand: Stand) -> None:
    unit = await stand.logged_in("water-group")
    async with listening(unit) as live:
        _, _, health = await live.next("health")
        assert health["counts"] is None
        await stand.raise_alert(a_leak())
        burst = a_leak(
            category="water_main_pressure", network="water", rule="water-main-pressure",
            subject="sensor/gw-water-shinan-01/p0",
        )  # fmt: skip
        await stand.raise_alert(burst)
        _, _, case = await live.next("case")
        assert case["unit"] == "water-group"
        _, _, alert = await live.next("alert")
        assert alert["alert_id"] == burst.alert_id


async def test_cases_come_while_the_figures_of_trust_cannot_be_had(stand: Stand) -> None:
    duty = await stand.logged_in("duty")
    stand.measurable.clear()
    async with listening(duty) as live:
        while (await live.next("health"))[2]["gateways"] is not None:
            pass
        await stand.raise_alert(a_leak())
        await live.next("case")
    assert (await duty.get("/")).status_code == 200
    assert (await duty.get("/api/v1/health")).json()["stream_age_s"] is None


async def test_the_live_stream_and_readiness_come_back_after_the_database_was_away(stand: Stand) -> None:
    duty = await stand.logged_in("duty")
    database = stand.dsn.rpartition("/")[2]
    with psycopg.connect(stand.dsn.replace(database, "postgres"), autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = %s and query like 'listen%%'",
            (database,),
        )
    async with asyncio.timeout(20):
        while stand.console.not_ready() is None:
            await asyncio.sleep(0.01)
        assert (await duty.get("/readyz")).status_code == 503
        while stand.console.not_ready() is not None:
            await asyncio.sleep(0.05)
    async with listening(duty) as live:
        await stand.raise_alert(a_leak())
        await live.next("case")
    assert (await duty.get("/readyz")).status_code == 200
