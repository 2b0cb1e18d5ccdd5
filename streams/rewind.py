"""Where a partition begins again when it has no usable snapshot, and what had been told by then.

While the log has everything from its first message, and that is not long ago, all of it is read again and
told again: the same messages come out, and whoever has them drops them. Otherwise that would take hours, or
cannot be right, as episodes began in what is gone: then the log is read from a while before the commit,
untold, so that windows fill; at the commit the episodes are taken from `alerts`, and what follows is told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from detectors.resume import newest
from schemas import alert, topics
from schemas.alert import Alert

log = logging.getLogger(__name__)

REWIND_S = 3600.0
"""Of the log, before what was last told. A full load folds it in minutes; longer windows warm up."""


@dataclass(frozen=True, slots=True)
class Rewind:
    """Read from `start`; what comes before `told_to` was told. `told` is None if everything is told again."""

    start: int
    told_to: int
    told: Sequence[Alert] | None


async def rewind(kafka: str, partition: int, begin: int, end: int, committed: int | None) -> Rewind:
    """Between `begin` and `end`, the first offset that Kafka kept and the next to come."""
    told_to = min(max(begin, committed or 0), end)
    if told_to == 0:
        return Rewind(0, 0, None)
    tp = TopicPartition(topics.READINGS.name, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        auto_offset_reset="earliest",  # a reset to the end that is under way would win over the seek
    )
    await consumer.start()
    try:
        start = begin
        if told_to > begin:
            consumer.assign([tp])
            first, last = [await _time_ms(consumer, tp, offset) for offset in (begin, told_to - 1)]
            if last - first > REWIND_S * 1000:
                (found,) = (await consumer.offsets_for_times({tp: int(last - REWIND_S * 1000)})).values()
                start = max(begin, found.offset) if found else begin
        if start == 0:
            return Rewind(0, 0, None)
        return Rewind(start, told_to, await _told(kafka, consumer))
    finally:
        await consumer.stop()


async def _time_ms(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> int:
    """Of the first message from this offset on."""
    consumer.seek(tp, offset)
    return int((await consumer.getone(tp)).timestamp)


async def _told(kafka: str, consumer: AIOKafkaConsumer) -> list[Alert]:
    """The newest message of every episode that stands on the alert topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        described = await admin.describe_topics([topics.ALERTS.name, topics.ALERTS_SHADOW.name])
    finally:
        await admin.close()
    tps = [TopicPartition(row["topic"], one["partition"]) for row in described for one in row["partitions"]]
    consumer.assign(tps)
    ends = await consumer.end_offsets(tps)
    await consumer.seek_to_beginning(*tps)
    found: list[Alert] = []
    while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
        for messages in (await consumer.getmany(*tps, timeout_ms=200)).values():
            found += [said for message in messages if (said := _decoded(message.value)) is not None]
        found = newest(found)
    return found


def _decoded(value: bytes | None) -> Alert | None:
    try:
        return alert.decode(value or b"")
    except msgspec.DecodeError as error:
        log.error("topic %s: a message is no alert: %s: left out", topics.ALERTS.name, error)
        return None
