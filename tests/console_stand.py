"""A console to test against: real PostgreSQL, the real store and history, people, and a small city.

The city is a handful of zones with sensors at plausible coordinates; alerts come in by dispatch's own
intake. The server runs in the test's event loop on a port of its own.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import argon2
import httpx
import psycopg
from psycopg_pool import AsyncConnectionPool

from cityvigil import health
from cityvigil.http_server import serving
from cityvigil.unguarded import Unjudged
from detectors.correlation import linked
from dispatch.console.desk import Classified, Desk
from dispatch.console.service import Console
from dispatch.intake import Message, take
from dispatch.ledger import Ledger
from dispatch.people import People, add_demo_users
from dispatch.store import Store
from dispatch.video import Video
from schemas.alert import Alert
from schemas.clock import CityClock, to_datetime
from schemas.default_rules import default_rules
from schemas.migrations import migrations
from schemas.rule import Rule
from streams.devices import Devices
from streams.frame_ledger import FrameLedger
from streams.history import History
from tests.case_builders import an_alert

ZONES = {
    "shinan-01": ("shinan", "香港中路", "Hong Kong Middle Road", 120.385, 36.066),
    "shinan-02": ("shinan", "八大关", "Badaguan", 120.350, 36.058),
    "shibei-01": ("shibei", "台东", "Taidong", 120.358, 36.088),
    "licang-01": ("licang", "李村", "Licun", 120.425, 36.150),
    "laoshan-01": ("laoshan", "金家岭", "Jinjialing", 120.460, 36.090),
}
CATEGORIES = {
    "gas": "gas_manhole_methane",
    "water": "water_main_pressure",
    "heat": "heat_primary_return_pressure",
    "bridge": "bridge_strain",
    "fire": "fire_smoke_detector_state",
}
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""The real parameters cost a tenth of a second and 64 MiB a log-in; test_people.py has them once."""

DENIED = {"gateway": "gw-gas-n01-1", "reason": "syntax", "count": 3, "last_at": "2026-03-02T04:00:00+00:00"}


def now_us() -> int:
    return time.time_ns() // 1_000


def now() -> dt.datetime:
    return to_datetime(now_us())


def a_leak(**changes: Any) -> Alert:
    values = {"subject": "sensor/gw-gas-shinan-01/p0", "level": 1, "since": now() - dt.timedelta(minutes=5)}
    return an_alert(**(values | changes))


@dataclass
class Stand:
    dsn: str
    pool: AsyncConnectionPool[Any]
    store: Store
    people: People
    clock: CityClock
    console: Console
    trust: dict[str, Any]
    measurable: asyncio.Event
    """Set: the trust's figures can be had. Cleared: asking for them hangs, as with a broker away."""

    clients: AsyncExitStack
    passwords: dict[str, str] = field(default_factory=dict)
    classified: list[Classified] = field(default_factory=list)
    """What people said that unknown points are; the registry of the stand stays as it is."""

    video: Video | None = None
    guard: dict[int, list[Unjudged]] = field(default_factory=dict)
    """What nobody judges, by sensor: nothing, until a test says otherwise."""

    _offset: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.console.port}"

    async def raise_alert(self, *alerts: Alert) -> str:
        """As dispatch takes them from Kafka; the case of the last one."""
        async with self.pool.connection() as connection, connection.transaction():
            work = Ledger(connection, now())
            for alert in alerts:
                self._offset += 1
                await take(work, Message(alert, now(), 0, self._offset), linked)
            await work.finish()
        found = await self.store.alert(alerts[-1].alert_id)
        assert found is not None
        return str(found["case_id"])

    async def looks(self) -> list[tuple[Any, ...]]:
        """Who looked through which camera, in order."""
        async with self.pool.connection() as connection:
            found = await connection.execute(
                "select actor, camera, what, case_id, outcome from camera_access order by id"
            )
            return list(await found.fetchall())

    async def visitor(self, **headers: str) -> httpx.AsyncClient:
        """Somebody without a log-in; closed at the end."""
        client = httpx.AsyncClient(base_url=self.url, headers=headers)
        return await self.clients.enter_async_context(client)

    async def logged_in(self, user: str) -> httpx.AsyncClient:
        client = await self.visitor()
        answer = await client.post("/api/v1/session", json={"user": user, "password": self.passwords[user]})
        assert answer.status_code == 200, answer.text
        return client


@asynccontextmanager
async def a_console(dsn: str, *, scale: float = 1.0, sensors: int = 40) -> AsyncIterator[Stand]:
    """`sensors` a zone and network. City time begins at now; at scale 60 it runs off."""
    start = now_us()
    clock = CityClock(start, start, scale) if scale != 1 else CityClock()
    with psycopg.connect(dsn) as connection:
        for migration in migrations():
            connection.execute(migration.sql.encode())
        connection.execute("create table readings_spans.every partition of readings default")
        _register(connection, sensors)
    async with AsyncConnectionPool(dsn, min_size=1, max_size=10, open=False) as pool:
        trust: dict[str, Any] = {
            "stream_age_s": 0.2,
            "ingest_lag_s": 0.03,
            "gateways": len(ZONES) * len(CATEGORIES),
            "gateways_offline": 0,
            "rules_version": 1,
            "rejects": [DENIED],
            "offline": [],
        }

        measurable = asyncio.Event()
        measurable.set()

        async def trusting() -> Mapping[str, Any]:
            await measurable.wait()
            return trust

        async def rules() -> list[Rule]:
            return default_rules(judgement_live=True)

        store, people = Store(pool), People(pool, QUICK)
        devices = Devices(pool)
        classified: list[Classified] = []
        guard: dict[int, list[Unjudged]] = {}

        async def classify(points: Sequence[Classified], by: str) -> int:
            classified.extend(points)
            return 2

        desk = Desk(
            store,
            people,
            History(pool),
            clock,
            now_us,
            trusting,
            rules,
            devices,
            Video(pool, time.time),
            classify,
            FrameLedger(pool),
            lambda: guard,
        )
        not_ready: list[Console] = []
        routes = health.routes("console", lambda: not_ready[0].not_ready() if not_ready else "starting")
        console = Console(desk, dsn=dsn, serving=partial(serving, host="127.0.0.1", port=0), routes=routes)
        not_ready.append(console)
        stand = Stand(dsn, pool, store, people, clock, console, trust, measurable, AsyncExitStack())
        stand.classified, stand.video, stand.guard = classified, desk.video, guard
        logins = await add_demo_users(people, ["gas-company", "water-group"], now())
        stand.passwords = {login["user"]: login["password"] for login in logins}
        stop = asyncio.Event()
        running = asyncio.create_task(console.run(stop))
        try:
            while console.not_ready() is not None:
                assert not running.done(), running
                await asyncio.sleep(0.02)
            yield stand
        finally:
            await stand.clients.aclose()
            stop.set()
            await running


def _register(connection: psycopg.Connection[Any], sensors: int) -> None:
    rng = random.Random(7)
    number = 0
    for zone, (district, name_zh, name_en, lon, lat) in ZONES.items():
        connection.execute(
            "insert into zones values (%s, %s, %s, %s, 0, %s, %s)",
            (zone, district, name_zh, name_en, lon, lat),
        )
        for network, category in CATEGORIES.items():
            gateway = f"gw-{network}-{zone}"
            connection.execute("insert into gateways values (%s, %s, 60, null)", (gateway, zone))
            for point in range(sensors):
                number += 1
                turn, far = rng.random() * 2 * math.pi, 0.013 * math.sqrt(rng.random())
                connection.execute(
                    "insert into sensors"
                    " (sensor, gateway, point, category, unit, zone, lon, lat, state, district)"
                    " values (%s, %s, %s, %s, '%%{vol}', %s, %s, %s, 'in-service', %s)",
                    (
                        number,
                        gateway,
                        f"p{point}",
                        category,
                        zone,
                        lon + far * math.cos(turn) / math.cos(math.radians(lat)),
                        lat + far * math.sin(turn),
                        district,
                    ),
                )


async def store_readings(stand: Stand, sensor: int, until: dt.datetime, values: list[float]) -> None:
    """One a minute, the last at `until`."""
    first = until - dt.timedelta(minutes=len(values) - 1)
    rows = [(first + dt.timedelta(minutes=i), sensor, value, 0) for i, value in enumerate(values)]
    async with stand.pool.connection() as connection, connection.cursor() as cursor:
        await cursor.executemany("insert into readings values (%s, %s, %s, %s)", rows)
