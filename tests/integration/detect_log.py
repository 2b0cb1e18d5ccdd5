"""A readings log for the tests of detect, with a Kafka of its own, as topic names are fixed.

A small city of methane sensors in two partitions. `ALog` writes registry and rules, then city minutes: a
frame a gateway, a tick a partition; leaks come and go all the time, a gateway falls silent, rules change on
the way, and now and then something stands in the log that is no packed frame.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cityvigil import kafka as broker
from cityvigil import process
from schemas import alert, control, frame, registry, rule, topics
from schemas.alert import Alert
from schemas.control import Control, RegistryVersion, RulesVersion, Tick
from schemas.default_rules import default_rules
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Gateway, Sensor, Version, Zone
from schemas.rule import Rule, RuleEntry, RulesMarker
from tests.services import create_topics

PARTITIONS = 2
GATEWAYS = [f"gw-{letter}-{number}" for letter in "ab" for number in (1, 2, 3)]
POINTS = 8
CITY_0_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z
MINUTE_US = 60_000_000


@contextmanager
def a_kafka() -> Iterator[str]:
    """The address of a broker that holds nothing but our empty topics; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="cityvigil-detect-"))
    port, controller = process.pick_ports(2)
    broker.prepare(folder / "kafka", port, controller)
    running = broker.start(folder / "kafka", folder, folder / "kafka.log")
    try:
        process.wait_until_healthy(running, folder / "kafka.log", lambda: broker.answers(port), 60)
        yield f"127.0.0.1:{port}"
    finally:
        process.stop(running, signal.SIGTERM, 20)
        shutil.rmtree(folder)


async def make_topics_anew(kafka: str) -> None:
    """Empty topics, whatever an earlier test left in them; with a topic its committed offsets go too."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in topics.ALL])
        async with asyncio.timeout(30):
            while {topic.name for topic in topics.ALL} & set(await admin.list_topics()):
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await create_topics(kafka, {topic.name: topic.partitions or PARTITIONS for topic in topics.ALL})


def partition_of(gateway: str) -> int:
    return "ab".index(gateway.split("-")[1])


class ALog:
    """Writes the log of one test, in order, each message acknowledged before its minute ends."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._rng = np.random.default_rng(7)
        self._sequences = dict.fromkeys(GATEWAYS, 0)
        self.minute = 0

    async def begin(self, rules: Sequence[Rule] | None = None) -> None:
        """Registry and rules as version 1, in force from the first offset."""
        entries: list[registry.Entry] = [
            Zone(
                zone=f"zone-{letter}",
                district=f"district-{letter}",
                name_zh="片区",
                name_en="zone",
                partition=n,
            )
            for n, letter in enumerate("ab")
        ]
        for number, gateway in enumerate(GATEWAYS):
            entries.append(Gateway(gateway=gateway, zone=f"zone-{gateway[3]}", interval_s=60))
            entries += [
                Sensor(
                    sensor=number * POINTS + point + 1,
                    gateway=gateway,
                    point=f"ch4-{point}",
                    category="gas_manhole_methane",
                    unit="%{vol}",
                    zone=f"zone-{gateway[3]}",
                )
                for point in range(POINTS)
            ]
        entries.append(Version(1))
        end = 0
        for entry in entries:
            end = await self._append(topics.SENSORS, entry.key, registry.encode(entry))
        await self.everywhere(RegistryVersion(1, end + 1))
        await self.publish_rules(rules or default_rules(judgement_live=True), 1)

    async def publish_rules(self, rules: Sequence[Rule], version: int) -> None:
        for one in rules:
            await self._append(topics.RULES, one.name, rule.encode(RuleEntry(one, by="test")))
        end = await self._append(topics.RULES, "version", rule.encode(RulesMarker(version, by="test")))
        await self.everywhere(RulesVersion(version, end + 1))

    async def everywhere(self, record: Control) -> None:
        for number in range(PARTITIONS):
            await self.message(number, control.encode(record))

    async def message(self, partition: int, value: bytes) -> None:
        await self._producer.send_and_wait(topics.READINGS.name, value, partition=partition)

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            city_us = CITY_0_US + self.minute * MINUTE_US
            for gateway in GATEWAYS:
                if self._silent(gateway):
                    continue
                await self.message(partition_of(gateway), frame.encode(self._frame(gateway, city_us)))
            for number in range(PARTITIONS):
                silent = tuple(g for g in GATEWAYS if self._silent(g, 11) and partition_of(g) == number)
                tick = Tick("ingest", 1, city_us + MINUTE_US // 2, _wall_us(), silent)
                await self.message(number, control.encode(tick))
            if self.minute % 50 == 25:
                await self.message(self.minute % PARTITIONS, b"no packed frame")
            self.minute += 1

    def _silent(self, gateway: str, minutes: int = 0) -> bool:
        """gw-b-3 says nothing for 30 minutes of every 100; ingest notices after 11."""
        return gateway == "gw-b-3" and 40 + minutes <= self.minute % 100 < 70

    def _frame(self, gateway: str, city_us: int) -> Frame:
        self._sequences[gateway] += 1
        segment = np.zeros(1, SEGMENT)
        segment["epoch"], segment["sequence"] = 1, self._sequences[gateway]
        segment["received_at"], segment["received_wall"] = city_us + 1_000_000, _wall_us()
        segment["published_wall"], segment["count"] = _wall_us(), POINTS
        segment["flags"] = SegmentFlag.sequenced
        records = np.zeros(POINTS, RECORD)
        records["time"] = city_us
        records["sensor"] = GATEWAYS.index(gateway) * POINTS + np.arange(POINTS) + 1
        records["value"] = np.round(0.03 + self._rng.uniform(0, 0.02, POINTS), 3)
        leaking = (
            self.minute // 20 + GATEWAYS.index(gateway)
        ) % POINTS  # each point in its turn, for 20 minutes
        records["value"][leaking] += _leak(self.minute % 20)
        return Frame(segment, records, (gateway,))

    async def _append(self, topic: topics.Topic, key: str, value: bytes) -> int:
        sent = await self._producer.send_and_wait(topic.name, value, key=key.encode(), partition=0)
        return int(sent.offset)


def _leak(minute: int) -> float:
    """Up to 3.5 %vol and back within 20 minutes: raised, upgraded, downgraded, cleared."""
    return max(0.0, 3.5 * (1 - abs(minute - 7) / 6))


def _wall_us() -> int:
    return time.time_ns() // 1_000


class Published:
    """What stands on `alerts` and `alerts-shadow`: each (topic, alert_id, seq) with its body, once."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self.bodies: dict[tuple[str, str, int], bytes] = {}
        self.repeated = 0

    async def __aenter__(self) -> Published:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
            auto_offset_reset="earliest",
        )
        await self._consumer.start()
        names = (topics.ALERTS.name, topics.ALERTS_SHADOW.name)
        self._consumer.assign([TopicPartition(name, n) for name in names for n in range(PARTITIONS)])
        await self._consumer.seek_to_beginning()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(self) -> None:
        """What has come since. A repeat whose body is another fails the test."""
        for messages in (await self._consumer.getmany(timeout_ms=200)).values():
            for message in messages:
                said = alert.decode(message.value)
                key = (message.topic, said.alert_id, said.seq)
                self.repeated += key in self.bodies
                assert self.bodies.setdefault(key, message.value) == message.value, f"another body: {said}"


def expected(alerts: Sequence[Alert]) -> dict[tuple[str, str, int], bytes]:
    """The same of a second reader's alerts."""
    found = {}
    for one in alerts:
        topic = topics.ALERTS_SHADOW if one.mode == "shadow" else topics.ALERTS
        found[topic.name, one.alert_id, one.seq] = alert.encode(one)
    return found
