"""Follows the `sensors` and `rules` topics: who a point is, and which versions are in force.

Keeps the registry in memory as of the topic's end, and tells of each version marker with the offset behind
it, for the readings log. Hands out numbers for points that nobody registered. It does not write: whoever
takes a number must produce the entry before the readings that use it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import Counter, Gauge

from ingest.resolve import Points, points_of
from schemas import registry, rule, topics
from schemas.control import RegistryVersion, RulesVersion
from schemas.registry import WAITING_BASE, Registry, Sensor

log = logging.getLogger(__name__)

SENSORS = Gauge("cityvigil_ingest_sensors", "sensors in the registry, waiting ones included")
UNREADABLE = Counter(
    "cityvigil_ingest_unreadable_entries_total", "entries not understood, by topic", ["topic"]
)


class Follower:
    """`announce` hears of every version marker that is read after the first catching up."""

    def __init__(self, bootstrap: str, announce: Callable[[RegistryVersion | RulesVersion], None]) -> None:
        self.registry = Registry()
        self.registry_version: RegistryVersion | None = None
        self.rules_version: RulesVersion | None = None
        self._announce = announce
        self._points: dict[str, Points] = {}
        self._waiting: Tally[str] = Tally()
        self._next = WAITING_BASE
        self._sensors = TopicPartition(topics.SENSORS.name, 0)
        self._rules = TopicPartition(topics.RULES.name, 0)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
            auto_offset_reset="earliest",
        )

    async def start(self) -> None:
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Reads both topics to where they end now."""
        both = [self._sensors, self._rules]
        self._consumer.assign(both)
        await self._consumer.seek_to_beginning(*both)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(both)
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                await self._read(quietly=True)
        SENSORS.set(len(self.registry.sensors))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._read(quietly=False)

    def points(self, gateway: str) -> Points:
        """The gateway's table of points, as of the registry now."""
        found = self._points.get(gateway)
        if found is None:
            found = points_of(self.registry, gateway, self._waiting[gateway])
            self._points[gateway] = found
        return found

    def number(self) -> int:
        """A number for a point that nobody registered."""
        self._next += 1
        return self._next - 1

    def entered(self, sensor: Sensor) -> None:
        """A waiting sensor that stands in the registry and comes back by the topic."""
        self._waiting[sensor.gateway] += 1

    async def _read(self, *, quietly: bool) -> None:
        for partition, messages in (await self._consumer.getmany(timeout_ms=500)).items():
            for message in messages:
                if message.value is None:
                    continue  # compaction's way of forgetting a key; entries end by their state
                if partition == self._sensors:
                    self._entry(message.value, message.offset, quietly)
                else:
                    self._rule(message.value, message.offset, quietly)
            SENSORS.set(len(self.registry.sensors))
            await asyncio.sleep(0)

    def _entry(self, value: bytes, offset: int, quietly: bool) -> None:
        try:
            entry = registry.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._unreadable(topics.SENSORS.name, offset, error)
            return
        if isinstance(entry, Sensor):
            known = self.registry.sensors.get((entry.gateway, entry.point))
            if known == entry:
                return  # what we entered ourselves comes back
            self._waiting[entry.gateway] += (entry.category is None) - (
                known is not None and known.category is None
            )
            self._next = max(self._next, entry.sensor + 1)
            self._points.pop(entry.gateway, None)
        elif isinstance(entry, registry.Gateway):
            self._points.pop(entry.gateway, None)
        self.registry.apply(entry)
        if isinstance(entry, registry.Version):
            self.registry_version = RegistryVersion(entry.version, offset + 1)
            self._tell(self.registry_version, quietly)

    def _rule(self, value: bytes, offset: int, quietly: bool) -> None:
        try:
            entry = rule.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._unreadable(topics.RULES.name, offset, error)
            return
        if isinstance(entry, rule.RulesMarker):
            self.rules_version = RulesVersion(entry.version, offset + 1)
            self._tell(self.rules_version, quietly)

    def _tell(self, version: RegistryVersion | RulesVersion, quietly: bool) -> None:
        if not quietly:
            log.info("%s is in force from here on", version)
            self._announce(version)

    def _unreadable(self, topic: str, offset: int, error: Exception) -> None:
        UNREADABLE.labels(topic).inc()
        log.error("topic %s, offset %d is no entry that this version knows: %s", topic, offset, error)
