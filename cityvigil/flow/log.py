"""The two logs of Kafka as a flow measurement reads them: `alerts` while it runs, `readings` afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cityvigil import compacted
from schemas import alert, control, frame
from schemas.alert import Alert
from schemas.topics import ALERTS, DETECT_GROUP, MESSAGE_MAX_BYTES, READINGS, Topic

LOOK_S = 0.25


class Told(NamedTuple):
    alert: Alert
    arrived_us: int  # wall


class Segments(NamedTuple):
    """What stood between two moments of the readings log."""

    bytes: int
    published: list[tuple[int, int, int]]  # partition, offset, published_wall


async def ends_of(kafka: str, topic: Topic) -> dict[int, int]:
    partitions = await compacted.partitions_of(kafka, topic)
    async with _consumer(kafka) as consumer:
        found = await consumer.end_offsets([TopicPartition(topic.name, n) for n in range(partitions)])
        return {at.partition: end for at, end in found.items()}


async def listen(kafka: str, first: Mapping[int, int], into: list[Told]) -> None:
    """Until cancelled: every alert from `first` on, with when it got here, as dispatch would get it."""
    async with _consumer(kafka) as consumer:
        _assign(consumer, ALERTS, first)
        while True:
            for messages in (await consumer.getmany(timeout_ms=1_000)).values():
                now_us = time.time_ns() // 1_000
                into += [Told(alert.decode(message.value), now_us) for message in messages]


async def adopted(kafka: str, first: Mapping[int, int], version: int) -> None:
    """Returns when every partition says that this registry, or a newer one, is in force."""
    waiting = set(first)
    async with _consumer(kafka) as consumer:
        _assign(consumer, READINGS, first)
        while waiting:
            for at, messages in (await consumer.getmany(timeout_ms=200)).items():
                for message in messages:
                    if frame.kind_of(message.value) is frame.Kind.control:
                        found = control.decode(message.value)
                        if isinstance(found, control.RegistryVersion) and found.version >= version:
                            waiting.discard(at.partition)


async def judged(kafka: str, ends: Mapping[int, int]) -> None:
    """Returns when detect has passed these ends; its offsets stand only behind its alerts."""
    wanted = {TopicPartition(READINGS.name, n): end for n, end in ends.items()}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        while True:
            found = await admin.list_consumer_group_offsets(DETECT_GROUP, partitions=list(wanted))
            if all(at in found and found[at].offset >= end for at, end in wanted.items()):
                return
            await asyncio.sleep(LOOK_S)
    finally:
        await admin.close()


async def segments(
    kafka: str, first: Mapping[int, int], ends: Mapping[int, int], is_ours: Callable[[str], bool]
) -> Segments:
    size = 0
    found: list[tuple[int, int, int]] = []
    async with _consumer(kafka) as consumer:
        behind = {n: end for n, end in ends.items() if end > first[n]}
        _assign(consumer, READINGS, {n: first[n] for n in behind})
        while behind:
            for at, messages in (await consumer.getmany(timeout_ms=200)).items():
                for message in messages:
                    if message.offset >= ends[at.partition]:
                        continue
                    size += len(message.value)
                    if frame.kind_of(message.value) is frame.Kind.readings:
                        packed = frame.decode(message.value)
                        found += [
                            (at.partition, message.offset, int(segment["published_wall"]))
                            for segment in packed.segments
                            if is_ours(packed.gateways[segment["gateway"]])
                        ]
                if messages and messages[-1].offset >= ends[at.partition] - 1:
                    behind.pop(at.partition, None)
    return Segments(size, found)


async def messages(
    kafka: str, topic: Topic, ends: Mapping[int, int], since_ms: int = 0
) -> AsyncIterator[tuple[tuple[int, int], bytes]]:
    """(partition, offset) and bytes of all that Kafka keeps before these ends, a partition's in its order;
    with `since_ms` (wall) from the first message on that was written then or later."""
    async with _consumer(kafka) as consumer:
        first = await consumer.beginning_offsets([TopicPartition(topic.name, n) for n in ends])
        if since_ms > 0:
            found = await consumer.offsets_for_times(dict.fromkeys(first, since_ms))
            first = {at: ends[at.partition] if found[at] is None else found[at].offset for at in first}
        behind = {at: ends[at.partition] for at, offset in first.items() if offset < ends[at.partition]}
        _assign(consumer, topic, {at.partition: first[at] for at in behind})
        while behind:
            for at, batch in (await consumer.getmany(timeout_ms=200)).items():
                for message in batch:
                    if message.offset < ends[at.partition]:
                        yield (at.partition, message.offset), message.value
                if await consumer.position(at) >= ends[at.partition]:
                    behind.pop(at, None)


def _assign(consumer: Any, topic: Topic, first: Mapping[int, int]) -> None:
    consumer.assign([TopicPartition(topic.name, n) for n in first])
    for number, offset in first.items():
        consumer.seek(TopicPartition(topic.name, number), offset)


@asynccontextmanager
async def _consumer(kafka: str) -> AsyncIterator[Any]:  # aiokafka is not typed
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
    )
    try:
        await consumer.start()  # may fail; it wants to be stopped all the same
        yield consumer
    finally:
        await consumer.stop()
