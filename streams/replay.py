"""A second reader of the readings log: what the same messages make when nobody disturbs the reader.

Reads every partition from the first message that Kafka kept up to given ends, with a consumer of its own
and no Faust, through the same `Lane` as the worker. For proof (is what a killed worker published the same?)
and for looking back; publishes nothing and joins no group.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas import topics
from schemas.alert import Alert
from streams.lane import empty_lane
from streams.rules import Versions


async def alerts_of_the_log(kafka: str, ends: Mapping[int, int] | None = None) -> list[Alert]:
    """The alerts of each partition in turn, up to (not including) these offsets, by default all."""
    ends = ends if ends is not None else await ends_of_the_log(kafka)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
        fetch_max_wait_ms=50,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async with Versions(kafka) as versions:
            found: list[Alert] = []
            for number, end in sorted(ends.items()):
                found += await _partition(consumer, versions, number, end)
            return found
    finally:
        await consumer.stop()


async def ends_of_the_log(kafka: str) -> dict[int, int]:
    """Partition -> the offset that its next message will have."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([topics.READINGS.name])
    finally:
        await admin.close()
    tps = [TopicPartition(topics.READINGS.name, row["partition"]) for row in topic["partitions"]]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(tps)
        return {tp.partition: ends[tp] for tp in tps}
    finally:
        await consumer.stop()


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
