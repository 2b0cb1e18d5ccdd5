"""Alerts from Kafka into PostgreSQL, batch by batch, each partition in its order.

The offset to read next stands in `dispatch_offsets` and moves in the transaction of what the batch did;
it is read under a lock there, so a repeated batch, a retry after an unknown commit, or a second worker
skips what is done. A message that is no alert goes to `dispatch_rejects`. Retries nothing itself: the
world's failures are raised.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter, Gauge
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from dispatch import intake
from dispatch.grouping import Linked
from dispatch.intake import Message, Taken
from dispatch.ledger import Ledger
from schemas.alert import Alert, decode
from schemas.case import Action
from schemas.clock import to_datetime
from schemas.topics import MESSAGE_MAX_BYTES

BATCH = 100
"""Small enough that a notice of its first alert does not wait long for the commit."""

_alerts = Counter("cityvigil_dispatch_alerts_total", "Messages of `alerts` read", ["result"])
_cases = Counter("cityvigil_dispatch_cases_total", "What alerts did to cases", ["action"])
_lag = Gauge("cityvigil_dispatch_lag_messages", "Messages of `alerts` not yet read", ["partition"])
_log = logging.getLogger(__name__)


class Reader:
    """`beat` is called whenever the log was looked at and all is done."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        topic: str,
        linked: Linked,
        now: Callable[[], dt.datetime],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._topic = topic
        self._linked = linked
        self._now = now
        self._beat = beat

    async def run(self, kafka: str, stop: asyncio.Event) -> None:
        """Until `stop`. Raises KafkaError or psycopg.OperationalError."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka,
            group_id=None,  # PostgreSQL keeps the offsets
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
        )
        try:
            await consumer.start()
            await self._begin(consumer, await partitions_of(kafka, self._topic))
            while not stop.is_set():
                found = await consumer.getmany(timeout_ms=300, max_records=BATCH)
                for partition, records in found.items():
                    await self.apply(partition.partition, records)
                    behind = (consumer.highwater(partition) or 0) - records[-1].offset - 1
                    _lag.labels(str(partition.partition)).set(max(behind, 0))
                self._beat()
        finally:
            await consumer.stop()

    async def _begin(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Every partition from where PostgreSQL says, a new one from its beginning."""
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        async with self._pool.connection() as connection:
            for partition in partitions:
                cursor = await connection.execute(
                    'insert into dispatch_offsets ("partition", next_offset) values (%s, %s)'
                    ' on conflict ("partition") do update set next_offset = dispatch_offsets.next_offset'
                    " returning next_offset",
                    (partition.partition, begins[partition]),
                )
                row = await cursor.fetchone()
                assert row is not None
                start: int = row[0]
                if start > ends[partition]:
                    _log.error("%s ends at %d, expected %d: the topic is another one; reading all of it",
                               partition, ends[partition], start)  # fmt: skip
                    start = begins[partition]
                    await connection.execute(
                        'update dispatch_offsets set next_offset = %s where "partition" = %s',
                        (start, partition.partition),
                    )
                consumer.seek(partition, start)

    async def apply(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        """One transaction for all; if one holds what PostgreSQL cannot, one for each."""
        try:
            done = await self._apply(partition, records)
        except psycopg.DataError as error:
            if len(records) > 1:
                for record in records:
                    await self.apply(partition, [record])
                return
            await self._refuse(partition, records[0], str(error).strip())
            return
        for record, alert, taken in done:
            _count(record, alert, taken)

    async def _apply(
        self, partition: int, records: Sequence[ConsumerRecord]
    ) -> list[tuple[ConsumerRecord, Alert | None, Taken]]:
        done: list[tuple[ConsumerRecord, Alert | None, Taken]] = []
        async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
            work = Ledger(connection, self._now())
            rows = await work.rows(
                'select next_offset from dispatch_offsets where "partition" = %s for update', (partition,)
            )
            for record in records:
                if record.offset < rows[0]["next_offset"]:
                    continue
                alert = read(record.value)
                if isinstance(alert, str):
                    await self._keep_bad(work, partition, record, alert)
                    done.append((record, None, Taken(False)))
                    continue
                kafka_at = to_datetime(record.timestamp * 1000)
                message = Message(alert, kafka_at, partition, record.offset)
                done.append((record, alert, await intake.take(work, message, self._linked)))
            await self._advance(work, partition, records[-1].offset + 1)
            await work.finish()
        return done

    async def _refuse(self, partition: int, record: ConsumerRecord, reason: str) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            work = Ledger(connection, self._now())
            await self._keep_bad(work, partition, record, reason)
            await self._advance(work, partition, record.offset + 1)
            await work.finish()
        _count(record, None, Taken(False))

    async def _keep_bad(self, work: Ledger, partition: int, record: ConsumerRecord, reason: str) -> None:
        _log.error("alerts, partition %d offset %d is no alert: %s", partition, record.offset, reason)
        await work.write(
            "insert into dispatch_rejects values (%s, %s, %s, %s, %s) on conflict do nothing",
            (partition, record.offset, self._now(), reason.replace("\0", ""), record.value or b""),
        )
        work.show_health({"service": "dispatch", "partition": partition, "offset": record.offset,
                          "reason": reason})  # fmt: skip

    async def _advance(self, work: Ledger, partition: int, offset: int) -> None:
        await work.write(
            'update dispatch_offsets set next_offset = %s where "partition" = %s and next_offset < %s',
            (offset, partition, offset),
        )


async def partitions_of(kafka: str, topic: str) -> list[TopicPartition]:
    """Of the topic; asked for, because a consumer waits 40 s for a topic that is not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        (answer,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if answer["error_code"]:
        raise for_code(answer["error_code"])(topic)
    return sorted(TopicPartition(topic, entry["partition"]) for entry in answer["partitions"])


def read(value: bytes | None) -> Alert | str:
    """The alert, or why it is none."""
    if value is None:
        return "empty message"
    try:
        alert = decode(value)
    except msgspec.DecodeError as error:
        return str(error)
    if not (1 <= alert.level <= 4 and 1 <= alert.worst <= 4 and alert.seq >= 1):
        return f"level {alert.level}, worst {alert.worst}, seq {alert.seq}: expected 1-4, 1-4, from 1"
    times = (alert.since, alert.observed_at, alert.published_at)
    if any(moment is not None and moment.tzinfo is None for moment in times):
        return "expected times with an offset"
    return alert


def _count(record: ConsumerRecord, alert: Alert | None, taken: Taken) -> None:
    """Only what was committed is counted."""
    if alert is None:
        _alerts.labels("rejected").inc()
        return
    _alerts.labels("applied" if taken.applied else "skipped").inc()
    if taken.action is None:
        return
    _cases.labels(taken.action.value).inc()
    verb = {Action.open: "opened", Action.join: "joined", Action.upgrade: "upgraded"}[taken.action]
    _log.info(
        "alert %s seq %d, %s, level %d: %s case %s",
        alert.alert_id, alert.seq, alert.subject, alert.level, verb, taken.case_id,
        extra={"correlation": alert.correlation} if alert.correlation else {},
    )  # fmt: skip
