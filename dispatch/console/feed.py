"""The live feed: one listener on PostgreSQL for all streams of this console.

NOTIFY wakes it, it reads the new live events once and hands them to every stream; a health picture is
made every few seconds. When the database goes away it keeps trying and says that it is not ready. An
event's id is its row's number times a million: the numbers between are for health, which is not stored,
so that ids rise over all kinds and Last-Event-ID says where to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import psycopg

from dispatch.console import metrics
from dispatch.console.answers import Health
from dispatch.console.desk import Desk, Trust
from dispatch.ledger import LIVE
from schemas.clock import to_datetime

STEP = 1_000_000
HEALTH_EVERY_S = 4.0
PATIENCE_S = 3.0
AGAIN_S = 1.0
REMEMBERED = 2_000
_log = logging.getLogger(__name__)


class Event(NamedTuple):
    id: int
    kind: str
    payload: dict[str, Any]


class Feed:
    """Streams read with `since`; `run` feeds them. `health` is the newest picture."""

    def __init__(self, dsn: str, desk: Desk) -> None:
        self._dsn = dsn
        self._desk = desk
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._newest: int | None = None
        self._changed = asyncio.Condition()
        self._rounds = 0
        self._problem: str | None = "the live feed has not started"
        self._ended = False
        self._health: Health | None = None

    def not_ready(self) -> str | None:
        return self._problem

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        working = {asyncio.create_task(self._keep_reading()), asyncio.create_task(self._keep_looking())}
        try:
            ended, _ = await asyncio.wait({stopping, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopping}:
                task.result()  # neither ends by itself: this raises what ended it
        finally:
            for task in (stopping, *working):
                task.cancel()
            await asyncio.wait({stopping, *working})
            self._ended = True
            await self._wake()

    async def health(self) -> Health:
        """At most HEALTH_EVERY_S old."""
        return self._health or await self._look()

    async def newest(self) -> int:
        return await self._desk.store.newest_event() * STEP

    async def since(self, last: int) -> AsyncIterator[Event | None]:
        """Every event after `last`, for as long as the console runs; None where some were lost, because
        the store does not keep them any more. Health comes as it is made."""
        seen = last // STEP
        beat = last % STEP
        round_ = -1
        if await self._lost(seen):
            yield None
            seen, beat = await self._desk.store.newest_event(), 0
        while not self._ended:
            for event in await self._after(seen):
                seen, beat = event.id // STEP, 0
                yield event
            if round_ != self._rounds and self._health is not None:
                round_, beat = self._rounds, beat + 1
                yield Event(seen * STEP + beat, "health", msgspec.to_builtins(self._health))
            async with self._changed:
                if not self._ended and round_ == self._rounds and self._newest == seen:
                    await self._changed.wait()

    async def _lost(self, seen: int) -> bool:
        """Whether events between `seen` and now are gone, or `seen` is of another life of the database."""
        newest = await self._desk.store.newest_event()
        if seen >= newest:
            return seen > newest
        oldest = await self._desk.store.events_after(0, 1)
        return bool(oldest[0]["id"] > seen + 1)

    async def _after(self, seen: int) -> list[Event]:
        """From memory when it reaches back far enough, else from the store."""
        if self._newest is not None and seen >= self._newest:
            return []
        if self._events and self._events[0].id // STEP <= seen + 1:
            return [event for event in self._events if event.id // STEP > seen]
        return [_event(row) for row in await self._desk.store.events_after(seen, 500)]

    async def _keep_reading(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.OperationalError as error:
                self._problem = f"PostgreSQL: {str(error).strip().splitlines()[0]}"
                _log.warning("live feed lost: %s", self._problem)
                await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            await connection.execute(f"listen {LIVE}".encode())
            if self._newest is None:
                self._newest = await self._desk.store.newest_event()
            self._problem = None
            while True:
                await self._read()
                await self._wake()
                # Also without a notice now and then: a connection that died silently is found out.
                async for _ in connection.notifies(timeout=HEALTH_EVERY_S, stop_after=1):
                    pass
                await connection.execute(b"select 1")

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self._health = await self._look()
                self._rounds += 1
                await self._wake()
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _read(self) -> None:
        assert self._newest is not None
        while rows := await self._desk.store.events_after(self._newest, 500):
            for row in rows:
                metrics.events.labels(row["kind"]).inc()
                self._events.append(_event(row))
            self._newest = rows[-1]["id"]

    async def _look(self) -> Health:
        """What cannot be measured in time is unknown: a broker that is away must not hold the picture up."""
        now = self._desk.now()
        try:
            async with asyncio.timeout(PATIENCE_S):
                trust = await self._desk.trusted()
        except TimeoutError:
            trust = Trust()
        return Health(
            **msgspec.structs.asdict(trust),
            now=to_datetime(now),
            city_time=to_datetime(self._desk.clock.city_us(now)),
            counts=await self._desk.store.counts(),
        )

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _event(row: dict[str, Any]) -> Event:
    return Event(row["id"] * STEP, row["kind"], row["payload"])
