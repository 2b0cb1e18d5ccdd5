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
from contextlib import asynccontextmanager

import psycopg
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge, Histogram

from schemas.clock import CityClock
from schemas.sequence import Mark
from schemas.topics import READINGS, REJECTS, SENSORS
from streams import health, marks, mirror, readings_table, refused
from streams.batch import Batch, Key
from streams.health import Health
from streams.log_reader import Gathered, reading
from streams.readings_table import ReadingsTable
from streams.spans import width_us
from streams.tending import tend

log = logging.getLogger(__name__)

ROWS = Counter("cityvigil_record_rows_total", "readings committed")
DUPLICATES = Counter("cityvigil_record_duplicates_total", "readings of segments seen before, not stored")
BAD = Counter("cityvigil_record_bad_messages_total", "messages that could not be read", ["topic"])
UNSTORABLE = Counter(
    "cityvigil_record_unstorable_total", "readings with a time or text that cannot be stored"
)
COMMIT = Histogram("cityvigil_record_commit_seconds", "one transaction, from its begin to its commit")
COMMITTED = Histogram(
    "cityvigil_record_sense_to_committed_seconds",
    "from the gateway's publish (else receipt) of a segment to its commit",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 300),
)
LAG = Gauge("cityvigil_record_lag_messages", "messages in the log that are not yet committed")

# Advisory locks: who writes, and who builds indexes. They are polled, never waited for: a waiting statement
# keeps a snapshot, and the building of an index would wait for that one in turn.
WRITING = 0x6369_7479_0003
TENDING = 0x6369_7479_0004

POLL_S = 0.2
NOTE_S = 30.0
"""How often the health of sensors is noted: at most so much of it is lost, and its figures are so old."""
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Record:
    def __init__(
        self,
        *,
        kafka: str,
        postgres: str,
        clock: CityClock,
        wall_us: Callable[[], int],
        note_s: float = NOTE_S,
    ) -> None:
        self._kafka = kafka
        self._postgres = postgres
        self._clock = clock
        self._wall_us = wall_us
        self._width = width_us(clock.scale)
        self._health, self._note_s = Health(clock.scale), note_s
        self._why_not: str | None = "not started"
        self._marks: dict[Key, Mark] = {}
        self._offsets: dict[marks.Place, int] = {}
        self._table: ReadingsTable | None = None  # as the writing connection found it
        self._log_city_us = 0  # the newest receipt in the log
        self._rows = 0

    def not_ready(self) -> str | None:
        return self._why_not

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tending = tasks.create_task(self._retrying(self._tend, stop))
            noting = tasks.create_task(self._retrying(self._note, stop))
            await self._retrying(self._write, stop)
            tending.cancel()
            await noting
        self._why_not = "stopped"

    async def _retrying(self, work: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
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
                if work == self._write:
                    self._why_not = why
                log.warning("%s; trying again in %g s", why, pause)
                await _wait(stop, pause)

    async def _write(self, stop: asyncio.Event) -> None:
        async with _connected(self._postgres) as connection:
            while not await _locked(connection, WRITING):
                self._why_not = "standing by: another historian writes"
                await _wait(stop, POLL_S)
                if stop.is_set():
                    return
            self._marks, self._offsets = await marks.load(connection)
            self._table = table = await readings_table.found(connection, self._width)
            log.info("readings is %s", table.says)
            async with reading(self._kafka, self._offsets) as log_reader:
                log.info("writing from %s", self._offsets or "the beginning of the log")
                self._why_not = None
                while not stop.is_set():
                    gathered = await log_reader.gather(self._marks, stop)
                    if gathered.offsets:
                        await self._commit(connection, table, gathered)
                    LAG.set(log_reader.lag(self._offsets))

    async def _commit(
        self, connection: psycopg.AsyncConnection, table: ReadingsTable, gathered: Gathered
    ) -> None:
        batch = gathered.readings
        records = batch.records()
        self._log_city_us = max(self._log_city_us, batch.city_us)
        await table.make_room(connection, records["time"], self._city_us())
        with COMMIT.time():
            async with connection.transaction():
                if len(records):
                    await table.copy(connection, records)
                if batch.texts:
                    await _store_texts(connection, batch)
                bad_entries = await mirror.apply(connection, gathered.sensors)
                bad_rejects = await refused.store(connection, gathered.rejects)
                await marks.save(connection, batch.marks, gathered.offsets)
                await marks.account(connection, batch.ledger)
                await marks.count_again(connection, batch.again)
        self._marks.update(batch.marks)
        self._offsets.update(gathered.offsets)
        self._count(batch)
        for topic, whys in ((SENSORS, bad_entries), (REJECTS, bad_rejects)):
            BAD.labels(topic.name).inc(len(whys))
            for why in whys:
                log.warning("%s: a message that could not be read: %s", topic.name, why)

    def _count(self, batch: Batch) -> None:
        self._rows += batch.rows
        ROWS.inc(batch.rows + len(batch.texts))
        DUPLICATES.inc(batch.duplicates)
        UNSTORABLE.inc(batch.unstorable)
        BAD.labels(READINGS.name).inc(len(batch.bad))
        self._health.add(*batch.heard())
        for gateway, readings, received_us in batch.repeats:
            self._health.repeated(gateway, readings, received_us)
        now = self._wall_us()
        for sensed in batch.sensed:
            COMMITTED.observe((now - sensed) / 1e6)

    async def _tend(self, _: asyncio.Event) -> None:
        """Beside the writing, on a connection of its own."""
        async with _connected(self._postgres) as connection:
            alone = False

            async def upkeep(rows_s: float) -> None:
                nonlocal alone
                alone = alone or await _locked(connection, TENDING)
                if alone and self._why_not is None and self._table is not None:
                    await self._table.tend(connection, self._city_us(), rows_s)

            await tend(upkeep, lambda: self._rows, self._wall_us)

    async def _note(self, stop: asyncio.Event) -> None:
        """How sensors report, on a connection of its own: once more when stopped."""
        async with _connected(self._postgres) as connection:
            day = 0
            while True:
                await _wait(stop, self._note_s)
                last = stop.is_set()
                await self._health.note(connection)
                if day != (day := self._city_us() // health.DAY_US):
                    await health.forget(connection, self._city_us())
                if last:
                    return

    def _city_us(self) -> int:
        """By the log, which may be hours behind after an outage; by the clock before any reading."""
        return self._log_city_us or self._clock.city_us(self._wall_us())


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=5, application_name="cityvigil-record"
    )
    async with connection:
        yield connection


async def _locked(connection: psycopg.AsyncConnection, lock: int) -> bool:
    """Whether this connection has the lock now, for as long as it lives."""
    row = await (await connection.execute("select pg_try_advisory_lock(%s)", [lock])).fetchone()
    return bool(row and row[0])


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
