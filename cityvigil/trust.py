"""How far the duty screen can be believed, and which rules are in force: read from the log and the database.

Each look reads the last few messages of every `readings` partition, not the whole stream, so it costs the
same at any load. What cannot be measured is None, never zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from cityvigil import compacted
from cityvigil.guarding import Guarding
from schemas import control, frame, registry, rule, topics
from schemas.rule import Rule

TAIL = 24
"""Messages of a partition that one look reads: enough to hold a tick and some frames."""
FRESH_US = 900_000
"""Looks nearer than this share one answer."""


FOLLOWED = (topics.RULES, topics.SENSORS)


@dataclass(slots=True)
class _RulesInForce:
    """The `rules` and `sensors` topics as far as they were read."""

    rules: dict[str, Rule] = field(default_factory=dict)
    rules_version: int | None = None
    rules_end: int = 0
    registry: registry.Registry = field(default_factory=registry.Registry)
    registry_end: int = 0


class Trust:
    """`trust()` and `rules()` of the console's desk. Made by `opened`."""

    def __init__(
        self,
        kafka: str,
        consumer: AIOKafkaConsumer,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        partitions: int,
        now_us: Callable[[], int],
        guarding: Guarding,
    ) -> None:
        self._kafka, self._consumer, self._pool = kafka, consumer, pool
        self._partitions, self._now_us = partitions, now_us
        self._guarding = guarding
        self._in_force = _RulesInForce()
        self._looking = asyncio.Lock()
        self._answer: dict[str, Any] = {}
        self._answered_us = 0

    async def trust(self) -> Mapping[str, Any]:
        async with self._looking:
            if self._now_us() - self._answered_us > FRESH_US:
                self._answer = await self._database() | await self.stream()
                self._answered_us = self._now_us()
            return self._answer

    async def rules(self) -> list[Rule]:
        async with self._looking:
            await self._follow()
            return list(self._in_force.rules.values())

    async def registry(self) -> tuple[registry.Registry, int]:
        """As of now, and the offset behind its last entry. Not to be changed by who asks."""
        async with self._looking:
            await self._follow()
            return self._in_force.registry, self._in_force.registry_end

    async def stream(self) -> dict[str, Any]:
        """What the log says."""
        try:
            await self._follow()
            ticks, delays, held = await self._tails()
        except KafkaError:
            return {}
        return {
            "stream_age_s": max(0.0, (self._now_us() - min(ticks)) / 1e6) if ticks else None,
            "held": "disk" if held else None,
            "ingest_lag_s": float(np.percentile(delays, 99)) / 1e6 if delays else None,
            "rules_version": self._in_force.rules_version,
            **self._guarding.counts(),
        }

    async def _tails(self) -> tuple[list[int], list[int], bool]:
        """Wall time of each partition's newest tick; publish to receipt of recent frames, microseconds;
        whether an ingest says that it takes nothing in."""
        partitions = [TopicPartition(topics.READINGS.name, p) for p in range(self._partitions)]
        self._consumer.assign(partitions)
        ends = await self._consumer.end_offsets(partitions)
        for tp in partitions:
            self._consumer.seek(tp, max(0, ends[tp] - TAIL))
        ticks: dict[int, int] = {}
        held: dict[int, bool] = {}
        delays: list[int] = []
        while any([await self._consumer.position(tp) < ends[tp] for tp in partitions]):
            for tp, messages in (await self._consumer.getmany(timeout_ms=500)).items():
                for message in messages:
                    if frame.kind_of(message.value) is frame.Kind.control:
                        record = control.decode(message.value)
                        if isinstance(record, control.Tick):
                            ticks[tp.partition], held[tp.partition] = record.wall_us, False
                        elif isinstance(record, control.Held):
                            held[tp.partition] = True
                    else:
                        segments = frame.decode(message.value).segments
                        said = segments[segments["published_wall"] > 0]
                        delays += (said["received_wall"] - said["published_wall"]).tolist()
        return list(ticks.values()), delays, any(held.values())

    async def _follow(self) -> None:
        """Reads what is new on the rules and sensors topics."""
        now = self._in_force
        ends = await self._consumer.end_offsets([TopicPartition(topic.name, 0) for topic in FOLLOWED])
        if [now.rules_end, now.registry_end] != list(ends.values()):
            await self._read_on(now)
        self._guarding.look(now.registry, now.rules, (now.rules_version, now.registry.version))

    async def _read_on(self, now: _RulesInForce) -> None:
        async for message in compacted.read(self._kafka, topics.RULES, now.rules_end):
            now.rules_end = message.offset + 1
            match rule.decode(message.value):
                case rule.RuleEntry() as entry:
                    now.rules[entry.rule.name] = entry.rule
                case rule.RulesMarker() as marker:
                    now.rules_version = marker.version
        async for message in compacted.read(self._kafka, topics.SENSORS, now.registry_end):
            now.registry_end = message.offset + 1
            now.registry.apply(registry.decode(message.value))

    async def _database(self) -> dict[str, Any]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                "select g.gateway, g.zone, a.since from gateways g"
                " left join alerts a on a.subject = 'gateway/' || g.gateway"
                " and a.rule = 'blind-area' and a.state = 'active'"
            )
            gateways = await cursor.fetchall()
            await cursor.execute(
                "select source, reason, n, last_at from reject_counts order by last_at desc limit 500"
            )
            rejects = await cursor.fetchall()
        offline = [row for row in gateways if row["since"] is not None]
        return {
            "gateways": len(gateways),
            "gateways_offline": len(offline),
            "offline": [
                {
                    "gateway": row["gateway"],
                    "zone": row["zone"],
                    "online": False,
                    "last_seen": row["since"].isoformat(),
                }
                for row in offline
            ],
            "rejects": [
                {
                    "gateway": row["source"],
                    "reason": row["reason"],
                    "count": row["n"],
                    "last_at": row["last_at"].isoformat(),
                }
                for row in rejects
            ],
        }


@asynccontextmanager
async def opened(
    kafka: str,
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    partitions: int,
    now_us: Callable[[], int],
    guarding: Guarding,
) -> AsyncIterator[Trust]:
    """A source of trust with a consumer of its own, in no group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
    )
    await consumer.start()
    try:
        yield Trust(kafka, consumer, pool, partitions, now_us, guarding)
    finally:
        await guarding.close()
        await consumer.stop()
