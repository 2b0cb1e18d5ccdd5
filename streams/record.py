"""The historian: readings from the log into PostgreSQL, each once, with COPY BINARY straight from numpy.

A transaction holds some 250 ms of the log: readings, the marks that keep repeats out, the mirrors of registry
and rejects, and the offsets of it all; whoever starts reads from what PostgreSQL says. So kill -9 anywhere
costs nothing and repeats nothing, and a database that is away is waited for while the log holds the rest. One
historian writes; a second one stands by until the first one's connection is gone. It judges no reading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from prometheus_client import Counter, Gauge, Histogram
from psycopg import sql

from schemas.clock import CityClock
from schemas.sequence import Mark
from schemas.topics import MESSAGE_MAX_BYTES, READINGS, REJECTS, SENSORS
from streams import marks, mirror, refused, span_tables
from streams.batch import Batch, Key
from streams.copy_rows import COLUMNS, rows_out
from streams.spans import Span, width_us

log = logging.getLogger(__name__)

ROWS = Counter("cityvigil_record_rows_total", "readings committed")
DUPLICATES = Counter("cityvigil_record_duplicates_total", "readings of segments seen before, not stored")
BAD = Counter("cityvigil_record_bad_messages_total", "messages that could not be read", ["topic"])
UNSTORABLE = Counter(
    "cityvigil_record_unstorable_total", "readings with a time or text that cannot be stored"
)
LOST = Counter("cityvigil_record_offsets_lost_total", "times the log no longer held what was not yet stored")
COMMIT = Histogram("cityvigil_record_commit_seconds", "one transaction, from its begin to its commit")
COMMITTED = Histogram(
    "cityvigil_record_sense_to_committed_seconds",
    "from the gateway's publish (else receipt) of a segment to its commit",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 300),
)
LAG = Gauge("cityvigil_record_lag_messages", "messages in the log that are not yet committed")

LOCK = 0x6369_7479_0003  # the advisory lock of the one historian
TENDING_LOCK = 0x6369_7479_0004
GATHER_S = 0.25
IDLE_GATHER_S = 1.0  # ticks alone do not need four commits a second
BATCH_ROWS = 50_000
BATCH_ENTRIES = 5_000  # of the registry: a large import must not keep readings waiting
TEND_S = 10.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass
class _Gathered:
    """Messages of one transaction."""

    readings: Batch
    sensors: list[bytes] = field(default_factory=list)
    rejects: list[tuple[int, bytes]] = field(default_factory=list)
    offsets: dict[marks.Place, int] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return self.readings.rows >= BATCH_ROWS or len(self.sensors) >= BATCH_ENTRIES

    @property
    def worth_a_commit(self) -> bool:
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
            where = f"{message.topic}[{message.partition}]@{message.offset}"
            log.warning("not a packed frame: %s: %s", where, why)


class Record:
    def __init__(self, *, kafka: str, postgres: str, clock: CityClock, wall_us: Callable[[], int]) -> None:
        self._kafka = kafka
        self._postgres = postgres
        self._clock = clock
        self._wall_us = wall_us
        self._width = width_us(clock.scale)
        self._why_not: str | None = "not started"
        self._marks: dict[Key, Mark] = {}
        self._offsets: dict[marks.Place, int] = {}
        self._spans: list[Span] = []
        self._city_us = 0  # the newest receipt in the log
        self._rows = 0

    def not_ready(self) -> str | None:
        return self._why_not

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tending = tasks.create_task(self._retrying(self._tend, stop, vital=False))
            await self._retrying(self._write, stop, vital=True)
            tending.cancel()
        self._why_not = "stopped"

    async def _retrying(
        self, work: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event, *, vital: bool
    ) -> None:
        """Until stopped: the world failing is waited for, anything else is a bug and raised."""
        failures = 0
        while not stop.is_set():
            before = self._rows
            try:
                await work(stop)
            except (psycopg.OperationalError, KafkaError) as error:
                failures = 0 if self._rows > before else failures + 1
                pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                if vital:
                    self._why_not = why
                log.warning("%s; trying again in %g s", why, pause)
                await _wait(stop, pause)

    # --- writing -------------------------------------------------------------------------------------

    async def _write(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as resources:
            connection = await resources.enter_async_context(_connected(self._postgres))
            if not await self._alone(connection, stop):
                return
            consumer = await resources.enter_async_context(self._consuming())
            await self._resume(connection, consumer)
            self._why_not = None
            while not stop.is_set():
                gathered = await self._gather(consumer, stop)
                if gathered.offsets:
                    await self._commit(connection, gathered)
                LAG.set(self._lag(consumer))

    async def _alone(self, connection: psycopg.AsyncConnection, stop: asyncio.Event) -> bool:
        """Waits until no other historian's connection lives; False when stopped before."""
        while not stop.is_set():
            found = await connection.execute("select pg_try_advisory_lock(%s)", [LOCK])
            row = await found.fetchone()
            if row and row[0]:
                return True
            self._why_not = "standing by: another historian writes"
            await _wait(stop, 0.2)
        return False

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            client_id="cityvigil-record",
            enable_auto_commit=False,
            auto_offset_reset="none",  # what the log lost must be said, not skipped
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def _resume(self, connection: psycopg.AsyncConnection, consumer: AIOKafkaConsumer) -> None:
        self._marks, self._offsets = await marks.load(connection)
        self._spans = [table.span for table in await span_tables.tables(connection)]
        partitions = await _partitions(self._kafka)
        consumer.assign(partitions)
        for partition in partitions:
            if (offset := self._offsets.get((partition.topic, partition.partition))) is not None:
                consumer.seek(partition, offset)
            else:
                await consumer.seek_to_beginning(partition)
        log.info("writing from %s", self._offsets or "the beginning of the log")

    async def _gather(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> _Gathered:
        gathered = _Gathered(Batch(self._marks))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not (gathered.is_full or stop.is_set()):
            wait = begun + (GATHER_S if gathered.worth_a_commit else IDLE_GATHER_S) - loop.time()
            if wait <= 0:
                break
            try:
                found = await consumer.getmany(timeout_ms=int(min(wait, GATHER_S) * 1000) + 1, max_records=64)
            except OffsetOutOfRangeError as error:
                await self._begin_again(consumer, error)
                continue
            for messages in found.values():
                for message in messages:
                    gathered.add(message)
        return gathered

    async def _begin_again(self, consumer: AIOKafkaConsumer, error: OffsetOutOfRangeError) -> None:
        for partition, offset in error.args[0].items():
            LOST.inc()
            log.error(
                "%s[%d] no longer holds offset %d: what stood there is lost here, going on with its oldest",
                partition.topic, partition.partition, offset,
            )  # fmt: skip
            await consumer.seek_to_beginning(partition)

    async def _commit(self, connection: psycopg.AsyncConnection, gathered: _Gathered) -> None:
        batch = gathered.readings
        records = batch.records()
        self._city_us = max(self._city_us, batch.city_us)
        city_us = self._city_us or self._city_now()
        self._spans = await span_tables.make_missing(
            connection, records["time"], self._spans, city_us, self._width
        )
        with COMMIT.time():
            async with connection.transaction():
                if len(records):
                    await _copy(connection, rows_out(records))
                if batch.texts:
                    await _store_texts(connection, batch)
                unreadable = await mirror.apply(connection, gathered.sensors)
                unread = await refused.store(connection, gathered.rejects)
                await marks.save(connection, batch.marks, gathered.offsets)
        self._marks.update(batch.marks)
        self._offsets.update(gathered.offsets)
        self._count(batch)
        for topic, whys in ((SENSORS, unreadable), (REJECTS, unread)):
            BAD.labels(topic.name).inc(len(whys))
            for why in whys:
                log.warning("%s: a message that could not be read: %s", topic.name, why)

    def _lag(self, consumer: AIOKafkaConsumer) -> int:
        heads = {one: consumer.highwater(one) for one in consumer.assignment()}
        return sum(
            max(head - self._offsets.get((one.topic, one.partition), 0), 0)
            for one, head in heads.items()
            if head is not None
        )

    def _count(self, batch: Batch) -> None:
        self._rows += batch.rows
        ROWS.inc(batch.rows + len(batch.texts))
        DUPLICATES.inc(batch.duplicates)
        UNSTORABLE.inc(batch.unstorable)
        BAD.labels(READINGS.name).inc(len(batch.bad))
        now = self._wall_us()
        for sensed in batch.sensed:
            COMMITTED.observe((now - sensed) / 1e6)

    # --- beside the writing --------------------------------------------------------------------------

    async def _tend(self, stop: asyncio.Event) -> None:
        async with _connected(self._postgres) as connection:
            rows, since = self._rows, self._wall_us()
            await connection.execute("select pg_advisory_lock(%s)", [TENDING_LOCK])
            while not stop.is_set():
                await _wait(stop, TEND_S)
                now = self._wall_us()
                rate = (self._rows - rows) * 1e6 / max(now - since, 1)
                rows, since = self._rows, now
                await span_tables.tend(connection, self._city_us or self._city_now(), rate)

    def _city_now(self) -> int:
        return self._clock.city_us(self._wall_us())


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=5, application_name="cityvigil-record"
    )
    async with connection:
        yield connection


async def _partitions(bootstrap: str) -> list[TopicPartition]:
    """Raises KafkaError while a topic is not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([topic.name for topic in (READINGS, SENSORS, REJECTS)])
    finally:
        await admin.close()
    for row in described:
        if row["error_code"] or not row["partitions"]:
            raise KafkaError(f"there is no topic {row['topic']}: cityvigil migrate makes it")
    return [TopicPartition(row["topic"], one["partition"]) for row in described for one in row["partitions"]]


async def _copy(connection: psycopg.AsyncConnection, stream: bytes) -> None:
    statement = sql.SQL("copy readings ({}) from stdin (format binary)").format(sql.SQL(COLUMNS))
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(stream)


async def _store_texts(connection: psycopg.AsyncConnection, batch: Batch) -> None:
    columns = [list(column) for column in zip(*batch.texts, strict=True)]
    await connection.execute(
        """
        insert into reading_texts (time, sensor, text, quality)
        select 'epoch'::timestamptz + t.us * interval '1 microsecond', sensor, text, quality
        from unnest(%s::bigint[], %s::int[], %s::text[], %s::smallint[]) as t (us, sensor, text, quality)
        """,
        columns,
    )


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    """Up to `seconds`, less when stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
