"""The log as the historian reads it: from the offsets that PostgreSQL names, a transaction's worth at a time.

No consumer group: one historian reads every partition, and where it goes on is decided by what it stored.
What the log has lost meanwhile is said and counted, never skipped silently. It stores nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from prometheus_client import Counter

from schemas.sequence import Mark
from schemas.topics import MESSAGE_MAX_BYTES, READINGS, REJECTS, SENSORS
from streams.batch import Batch, Key
from streams.marks import Place

log = logging.getLogger(__name__)

LOST = Counter("cityvigil_record_offsets_lost_total", "times the log no longer held what was not yet stored")

GATHER_S = 0.25
FETCH_WAIT_MS = 100
FETCH_BYTES = 256 << 10
"""A fetch waits so long for so much: one for every frame cost a third of the historian's time."""

IDLE_GATHER_S = 1.0  # ticks alone do not need four commits a second
BATCH_ROWS = 50_000
BATCH_ENTRIES = 5_000  # of the registry: a large import must not keep readings waiting


@dataclass
class Gathered:
    """Messages of one transaction, and the offsets after them."""

    readings: Batch
    sensors: list[bytes] = field(default_factory=list)
    rejects: list[tuple[int, bytes]] = field(default_factory=list)
    offsets: dict[Place, int] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return self.readings.rows >= BATCH_ROWS or len(self.sensors) >= BATCH_ENTRIES

    @property
    def is_worth_a_commit(self) -> bool:
        return bool(self.readings.rows or self.readings.texts or self.sensors or self.rejects)

    def add(self, message: ConsumerRecord) -> None:
        match message.topic:
            case READINGS.name:
                self._add_reading(message)
            case SENSORS.name if message.value is not None:
                self.sensors.append(message.value)
            case REJECTS.name if message.value is not None:
                self.rejects.append((message.offset, message.value))
        self.offsets[message.topic, message.partition] = message.offset + 1

    def _add_reading(self, message: ConsumerRecord) -> None:
        known = len(self.readings.bad)
        self.readings.add(message.value or b"")
        for why in self.readings.bad[known:]:
            log.warning("%s[%d]@%d: %s", message.topic, message.partition, message.offset, why)


class LogReader:
    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def gather(self, marks: Mapping[Key, Mark], stop: asyncio.Event) -> Gathered:
        """What came within a quarter of a second, or as much as one transaction should hold."""
        gathered = Gathered(Batch(marks))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not (gathered.is_full or stop.is_set()):
            wait = begun + (GATHER_S if gathered.is_worth_a_commit else IDLE_GATHER_S) - loop.time()
            if wait <= 0:
                break
            timeout_ms = int(min(wait, GATHER_S) * 1000) + 1
            try:
                found = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=64)
            except OffsetOutOfRangeError as error:
                await self._begin_again(error)
                continue
            for messages in found.values():
                for message in messages:
                    gathered.add(message)
        return gathered

    def lag(self, offsets: Mapping[Place, int]) -> int:
        """Messages in the log behind these offsets."""
        heads = {one: self._consumer.highwater(one) for one in self._consumer.assignment()}
        return sum(
            max(head - offsets.get((one.topic, one.partition), 0), 0)
            for one, head in heads.items()
            if head is not None
        )

    async def _begin_again(self, error: OffsetOutOfRangeError) -> None:
        for partition, offset in error.args[0].items():
            LOST.inc()
            log.error(
                "%s[%d] no longer holds offset %d: what stood there is lost here, going on with its oldest",
                partition.topic, partition.partition, offset,
            )  # fmt: skip
            await self._consumer.seek_to_beginning(partition)


@asynccontextmanager
async def reading(kafka: str, offsets: Mapping[Place, int]) -> AsyncIterator[LogReader]:
    """Every partition of readings, registry and rejects, from these offsets, else from its oldest message."""
    partitions = await _partitions(kafka)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        client_id="cityvigil-record",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        fetch_min_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        for partition in partitions:
            if (offset := offsets.get((partition.topic, partition.partition))) is not None:
                consumer.seek(partition, offset)
            else:
                await consumer.seek_to_beginning(partition)
        yield LogReader(consumer)
    finally:
        await consumer.stop()


async def _partitions(kafka: str) -> list[TopicPartition]:
    """Raises KafkaError while a topic is not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        described = await admin.describe_topics([topic.name for topic in (READINGS, SENSORS, REJECTS)])
    finally:
        await admin.close()
    for row in described:
        if row["error_code"] or not row["partitions"]:
            raise KafkaError(f"there is no topic {row['topic']}: cityvigil migrate makes it")
    return [TopicPartition(row["topic"], one["partition"]) for row in described for one in row["partitions"]]
