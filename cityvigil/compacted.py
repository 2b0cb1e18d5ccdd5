"""The compacted topics (`rules`, `sensors`) as the front door uses them: read whole, appended to.

They have one partition, so an offset is a moment in their history. Appending returns only when the broker
has everything (acks=all), in the order given; what fits into one batch appears at once or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import MESSAGE_MAX_BYTES, Topic

BATCH_BYTES = MESSAGE_MAX_BYTES // 4


async def end_of(bootstrap: str, topic: Topic) -> int:
    """The offset that the next message will have; 0 if there never was one."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        partition = TopicPartition(topic.name, 0)
        ends: dict[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]
    finally:
        await consumer.stop()


async def read(
    bootstrap: str, topic: Topic, first: int = 0, end: int | None = None
) -> AsyncGenerator[ConsumerRecord, None]:
    """Messages from `first` up to (not including) `end`, by default the end at the time of the call.

    Whoever may stop before the last one closes it (contextlib.aclosing), so that the consumer is stopped.
    """
    if end is None:
        end = await end_of(bootstrap, topic)
    if first >= end:
        return
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
    )
    try:
        await consumer.start()
        partition = TopicPartition(topic.name, 0)
        consumer.assign([partition])
        consumer.seek(partition, first)
        while await consumer.position(partition) < end:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    if message.offset < end:
                        yield message
    finally:
        await consumer.stop()


async def append(bootstrap: str, topic: Topic, messages: Sequence[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Appends (key, value) pairs; the offsets of the first and the last. `messages` is not empty."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
        max_request_size=MESSAGE_MAX_BYTES,
    )
    try:
        await producer.start()
        offsets: list[tuple[int, int]] = []
        batch = producer.create_batch()
        for key, value in messages:
            if batch.append(timestamp=None, key=key, value=value) is None:
                offsets.append(await _sent(producer, topic, batch))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        offsets.append(await _sent(producer, topic, batch))
        return offsets[0][0], offsets[-1][1]
    finally:
        await producer.stop()


async def _sent(producer: AIOKafkaProducer, topic: Topic, batch: object) -> tuple[int, int]:
    count = batch.record_count()  # type: ignore[attr-defined]  # aiokafka is not typed
    metadata = await (await producer.send_batch(batch, topic.name, partition=0))
    return metadata.offset, metadata.offset + count - 1


async def partitions_of(bootstrap: str, topic: Topic) -> int:
    """How many partitions a topic has; 0 if it is not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        (described,) = await admin.describe_topics([topic.name])
    finally:
        await admin.close()
    return len(described["partitions"])
