"""What the dispatch tests share: topics and databases of their own, dispatch running beside the test."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from cityvigil.wiring import Service
from detectors.correlation import linked
from dispatch.store import Store
from dispatch.worker import Dispatch
from schemas.alert import Alert, encode
from schemas.migrations import migrations
from tests.case_builders import NOON, an_alert, changed
from tests.services import create_topics

PARTITIONS = 3


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def migrate(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for migration in migrations():
            connection.execute(migration.sql.encode())


Served = TypeVar("Served", bound=Service)


@dataclass(frozen=True)
class Desk:
    """One database, one pair of topics, and the store over them."""

    kafka: str
    dsn: str
    alerts: str
    events: str
    store: Store
    pool: AsyncConnectionPool[Any]

    def service(self, **changes: Any) -> Dispatch:
        values: dict[str, Any] = {
            "kafka": self.kafka,
            "postgres": self.dsn,
            "linked": linked,
            "now_us": lambda: time.time_ns() // 1_000,
            "alerts_topic": self.alerts,
            "events_topic": self.events,
            **changes,
        }
        return Dispatch(**values)

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query.encode(), values)
            found: list[dict[str, Any]] = await cursor.fetchall()
            return found

    async def publish(self, alerts: Iterable[Alert | bytes]) -> int:
        """As detect does, keyed by district; bytes go as they are. Says how many."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True)
        await producer.start()
        try:
            sent = []
            for alert in alerts:
                if isinstance(alert, bytes):
                    sent.append(await producer.send(self.alerts, alert, key=b"shinan"))
                else:
                    key = (alert.district or "").encode()
                    sent.append(await producer.send(self.alerts, encode(alert), key=key))
            for future in sent:
                await future
        finally:
            await producer.stop()
        return len(sent)

    async def read_so_far(self) -> int:
        rows = await self.rows("select coalesce(sum(next_offset), 0)::bigint as n from dispatch_offsets")
        return int(rows[0]["n"])

    async def taken(self, count: int) -> None:
        """Until that many messages of the topic are done."""

        async def done() -> bool:
            return await self.read_so_far() >= count

        await until(done)

    async def outcome(self) -> set[tuple[frozenset[str], str | None, int, str]]:
        """What must be a function of the log alone."""
        rows = await self.rows("select alerts, unit, level, state from cases")
        return {(frozenset(row["alerts"]), row["unit"], row["level"], row["state"]) for row in rows}

    async def case_of(self, alert: Alert) -> dict[str, Any]:
        known = await self.store.alert(alert.alert_id)
        assert known is not None
        case = await self.store.case(known["case_id"])
        assert case is not None
        return case

    async def events_of(self, wanted: int) -> list[bytes]:
        """The case events on Kafka, at least so many."""
        consumer = AIOKafkaConsumer(
            self.events, bootstrap_servers=self.kafka, group_id=None, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[bytes] = []
        try:
            while len(found) < wanted:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in records]
        finally:
            await consumer.stop()
        return found


@asynccontextmanager
async def a_desk(kafka: str, dsn: str, prefix: str) -> AsyncIterator[Desk]:
    """On a new database; makes the topics."""
    migrate(dsn)
    desk = Desk(kafka, dsn, f"{prefix}-alerts", f"{prefix}-events", *_store(dsn))
    await create_topics(kafka, {desk.alerts: PARTITIONS, desk.events: 1})
    async with desk.pool:
        yield desk


@asynccontextmanager
async def second_reader(desk: Desk, log: str = "") -> AsyncIterator[Desk]:
    """Another database, over the same alerts or a `log` of its own."""
    prefix = desk.alerts.removesuffix("-alerts")
    alerts = f"{prefix}-{log}" if log else desk.alerts
    if log:
        await create_topics(desk.kafka, {alerts: PARTITIONS})
    base = desk.dsn.rpartition("/")[0]
    dsn = f"{base}/{prefix}-second"
    with psycopg.connect(desk.dsn, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{prefix}-second"'.encode())
        try:
            migrate(dsn)
            store, pool = _store(dsn)
            async with pool:
                yield Desk(desk.kafka, dsn, alerts, desk.events, store, pool)
        finally:
            admin.execute(f'DROP DATABASE "{prefix}-second" WITH (FORCE)'.encode())


def _store(dsn: str) -> tuple[Store, AsyncConnectionPool[Any]]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(dsn, min_size=1, max_size=6, open=False)
    return Store(pool), pool


@asynccontextmanager
async def running(service: Served) -> AsyncIterator[Served]:
    """The service, ready; stopped at the end, whose errors are the test's."""
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))

    async def ready() -> bool:
        return task.done() or service.not_ready() is None

    await until(ready)
    try:
        yield service
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


SORTS = (
    ("gas-manhole-methane", "gas_manhole_methane", "gas"),
    ("drain-sewer-methane", "drain_sewer_methane", "drainage"),
    ("water-main-pressure", "water_main_pressure", "water"),
    ("device-silence", "device_silence", "device"),
)


def a_days_alerts(seed: int, episodes: int) -> list[Alert]:
    """Episodes over six zones of three districts, each district's messages in order of event time."""
    rng = random.Random(seed)
    messages: list[Alert] = []
    for number in range(episodes):
        district = rng.choice(["shinan", "laoshan", "chengyang"])
        rule, category, network = rng.choice(SORTS)
        alert = an_alert(
            rule=rule,
            category=category,
            network=network,
            district=district,
            zone=f"{district}-0{rng.randint(1, 2)}",
            subject=f"sensor/gw-{number}/p",
            level=rng.choice([2, 3, 3, 4, 4]),
            since=NOON + dt.timedelta(minutes=rng.uniform(0, 600)),
            correlation=f"gw-{number}/1/{rng.randint(1, 999)}",
        )
        messages.append(alert)
        for change in rng.sample(["update", "upgrade", "downgrade", "clear"], k=rng.randint(0, 3)):
            step = {"upgrade": -1, "downgrade": 1}.get(change, 0)
            alert = changed(alert, change, rng.uniform(1, 40), level=min(max(alert.level + step, 1), 4))
            messages.append(alert)
    return sorted(messages, key=lambda message: (message.observed_at, message.alert_id, message.seq))
