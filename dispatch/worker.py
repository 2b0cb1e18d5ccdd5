"""The dispatch service: alerts into cases, clocks that run out, notices and case events out.

Runs its parts side by side. What the world does wrong (PostgreSQL or Kafka away) makes a part wait and
begin again; anything else ends the service, and the supervisor starts a new one. Exact under a kill at
any moment, because every part keeps its place in PostgreSQL. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from dispatch import bypass_import, case_events, ledger, overdue, suppressed
from dispatch.grouping import Linked
from dispatch.journal import Journal
from dispatch.notify.channel import Channel
from dispatch.notify.log import Log
from dispatch.notify.webhook import Webhook
from dispatch.outbox import Lane, lanes
from dispatch.reader import Reader
from schemas import topics
from schemas.clock import CityClock, to_datetime, to_us

CLOCK_EVERY_S = 1.0
FORGET_EVERY_S = 3600.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
IMPORT_EVERY_S = 0.5
PART_NAMES = ("postgres", "alerts", "outbox", "case-events", "clocks", "journal")

_WORLD = (psycopg.OperationalError, psycopg.InterfaceError, KafkaError, OSError)
_log = logging.getLogger(__name__)


class Dispatch:
    """`linked` says whether alerts of two networks have one cause; `now_us` is the wall clock; `journal`
    is the folder shared with the bypass, None where there is none; `clock` is the city's."""

    def __init__(
        self,
        *,
        kafka: str,
        postgres: str,
        linked: Linked,
        now_us: Callable[[], int],
        webhook: str = "",
        journal: Path | None = None,
        clock: CityClock | None = None,
        alerts_topic: str = topics.ALERTS.name,
        events_topic: str = topics.CASE_EVENTS.name,
    ) -> None:
        self._kafka = kafka
        self._postgres = postgres
        self._linked = linked
        self._now: Callable[[], dt.datetime] = lambda: to_datetime(now_us())
        self._webhook = webhook
        self._clock = clock or CityClock()
        self._journal = Journal(journal, "dispatch", self._now) if journal else None
        self._alerts_topic = alerts_topic
        self._events_topic = events_topic
        self._wrong = dict.fromkeys(PART_NAMES, "starting")
        self._pauses: dict[str, float] = {}
        self._news = asyncio.Event()  # transitions to publish
        self._channels_named = asyncio.Event()
        self._lanes: list[Lane] = []

    def not_ready(self) -> str | None:
        wrong = next((f"{part}: {why}" for part, why in self._wrong.items() if why), None)
        return wrong or (self._journal.trouble if self._journal else None)

    async def run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as resources:
            pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
                self._postgres, min_size=1, max_size=12, open=False, timeout=5, kwargs={"connect_timeout": 5}
            )
            await pool.open()
            resources.push_async_callback(pool.close)
            channels: list[Channel] = [Log()]
            if self._webhook:
                channels.append(await resources.enter_async_context(Webhook(self._webhook)))
            if self._journal is not None:
                await asyncio.to_thread(self._journal.open)
            self._lanes = lanes(pool, channels, self._now, self._journal)
            reader = Reader(pool, self._alerts_topic, self._linked, self._now, lambda: self._well("alerts"))
            parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
                ("postgres", lambda: self._listen(pool, channels, stop)),
                ("alerts", lambda: self._read(reader, stop)),
                ("case-events", lambda: self._publish(pool, stop)),
                ("clocks", lambda: self._watch_clocks(pool, stop)),
                ("journal", lambda: self._import(pool, stop)),
                *(("outbox", lambda lane=lane: lane.run(stop)) for lane in self._lanes),
            ]
            async with asyncio.TaskGroup() as group:
                for name, part in parts:
                    group.create_task(self._keep_up(name, part, stop))
                await stop.wait()
                self._channels_named.set()
                self._wake()

    async def _keep_up(self, name: str, part: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await part()
            except _WORLD as error:
                pause = self._pauses.get(name, FIRST_PAUSE_S)
                self._wrong[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                if isinstance(error, UnknownTopicOrPartitionError):
                    self._wrong[name] = f"no topic {self._alerts_topic}: run `cityvigil migrate`"
                _log.warning("%s: %s; again in %.1f s", name, self._wrong[name], pause)
                self._pauses[name] = min(pause * 2, LONGEST_PAUSE_S)
                await _wait(stop, pause)

    def _well(self, name: str) -> None:
        self._wrong[name] = ""
        self._pauses.pop(name, None)

    def _wake(self) -> None:
        self._news.set()
        for lane in self._lanes:
            lane.wake.set()

    async def _listen(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        channels: list[Channel],
        stop: asyncio.Event,
    ) -> None:
        """Says which channels there are, then wakes the senders at each NOTIFY."""
        names = [channel.name for channel in channels]
        async with pool.connection() as connection:
            await connection.execute("delete from channels where name <> all(%s)", (names,))
            for name in names:
                await connection.execute("insert into channels values (%s) on conflict do nothing", (name,))
        self._channels_named.set()
        listener = await AsyncConnection.connect(self._postgres, autocommit=True, connect_timeout=5)
        async with listener:
            await listener.execute(f"listen {ledger.OUTBOX}".encode())
            self._wake()  # for what came before we listened
            self._well("postgres")
            while not stop.is_set():
                async for _ in listener.notifies(timeout=0.5, stop_after=1):
                    self._wake()
                self._well("outbox")

    async def _read(self, reader: Reader, stop: asyncio.Event) -> None:
        # A case that is made before the channels are named would leave the house by none of the new ones.
        await self._channels_named.wait()
        await reader.run(self._kafka, stop)

    async def _publish(self, pool: AsyncConnectionPool[AsyncConnection[Any]], stop: asyncio.Event) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka, acks="all", enable_idempotence=True, compression_type="lz4"
        )
        try:
            await producer.start()
            while not stop.is_set():
                self._news.clear()
                await case_events.publish(pool, producer, self._events_topic)
                self._well("case-events")
                await _wait(self._news, LONGEST_PAUSE_S)
        finally:
            await producer.stop()

    async def _import(self, pool: AsyncConnectionPool[AsyncConnection[Any]], stop: asyncio.Event) -> None:
        importer = bypass_import.Importer(pool, self._journal) if self._journal is not None else None
        while not stop.is_set():
            if importer is not None:
                await importer.run_once()
            self._well("journal")
            await _wait(stop, IMPORT_EVERY_S)

    async def _watch_clocks(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], stop: asyncio.Event
    ) -> None:
        forgotten = self._now()
        while not stop.is_set():
            now = self._now()
            await overdue.tell(pool, now)
            await suppressed.release(pool, now, self._city(now), self._linked)
            if (now - forgotten).total_seconds() > FORGET_EVERY_S:
                await overdue.forget_live_events(pool, now)
                forgotten = now
            self._well("clocks")
            await _wait(stop, CLOCK_EVERY_S)

    def _city(self, now: dt.datetime) -> dt.datetime:
        return to_datetime(self._clock.city_us(to_us(now)))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """For the event, at most that long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
