"""A second reader of the readings log: what the same messages make when nobody disturbs the reader.

Reads every partition from the first message that Kafka kept up to given ends, with a consumer of its own
and no Faust, through the same `Lane` as the worker. For proof (is what a killed worker published the same?)
and for looking back; publishes nothing and joins no group.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from schemas.alert import Alert
from streams.lane import empty_lane
from streams.rules import Versions


async def alerts_of_the_log(kafka: str, ends: Mapping[int, int] | None = None) -> list[Alert]:
    """The alerts of each partition in turn, up to (not including) these offsets; default: what is there now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        async with Versions(kafka) as versions:
            found: list[Alert] = []
            for number, end in sorted((ends or await ends_of_the_log(consumer)).items()):
                found += await _partition(consumer, versions, number, end)
            return found
    finally:
        await consumer.stop()


async def ends_of_the_log(consumer: AIOKafkaConsumer) -> dict[int, int]:
    """Partition -> the offset that its next message will have."""
    numbers = await _partitions(consumer)
    ends = await consumer.end_offsets([TopicPartition(topics.READINGS.name, number) for number in numbers])
    return {tp.partition: end for tp, end in ends.items()}


async def _partitions(consumer: AIOKafkaConsumer) -> set[int]:
    await consumer.topics()  # asks the broker; what follows only looks into what it said
    return set(consumer.partitions_for_topic(topics.READINGS.name) or ())


async def _partition(consumer: AIOKafkaConsumer, versions: Versions, number: int, end: int) -> list[Alert]:
    tp = TopicPartition(topics.READINGS.name, number)
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    lane = await empty_lane(number, versions)
    found: list[Alert] = []
    while await consumer.position(tp) < end:
        fetched = await consumer.getmany(tp, timeout_ms=200)
        found += await lane.take([(m.offset, m.value) for m in fetched.get(tp, ()) if m.offset < end])
    return found
