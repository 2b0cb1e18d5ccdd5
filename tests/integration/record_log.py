"""A readings log for the tests of the historian, and what an undisturbed second reader makes of it.

Frames hold what comes in a city: segments that were sent again, late ones, old and suspect readings, texts,
backfill, bytes that are no frame. The second reader here shares no code with the historian but the codecs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cityvigil import stack as local
from cityvigil.stack import Stack
from schemas import control, frame
from schemas.control import Tick
from schemas.frame import SEGMENT, Frame, FrameError, Kind, SegmentFlag
from schemas.reading import RECORD, Flag, Quality
from schemas.settings import Settings
from schemas.topics import MESSAGE_MAX_BYTES, READINGS

PARTITIONS = 2
NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z
YEAR_US = 365 * 86_400_000_000
EPOCH = 2**63 + 1  # unsigned
POINTS = 40

ROW = np.dtype([("time", "i8"), ("sensor", "i4"), ("value", "f8"), ("quality", "i2")])


def settings_of(stack: Stack, dsn: str) -> Settings:
    environ = local.environment(stack) | {"CITYVIGIL_POSTGRES": dsn}
    return Settings.from_environ(environ | {"CITYVIGIL_PARTITIONS": str(PARTITIONS)})


class RecordLog:
    """Writes rounds: a frame of some segments a partition, each new, seen before, or late."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self._rng = np.random.default_rng(11)
        self._sequence: dict[str, int] = {}
        self._sent: list[list[tuple[str, int]]] = [[] for _ in range(PARTITIONS)]
        self._round = 0

    async def rounds(self, count: int) -> None:
        """Returns when the broker has them."""
        futures = []
        for _ in range(count):
            self._round += 1
            for partition in range(PARTITIONS):
                for message in self._messages(partition):
                    futures.append(await self._producer.send(READINGS.name, message, partition=partition))
        for future in futures:
            await future

    def _messages(self, partition: int) -> list[bytes]:
        city_us = NOW_US + self._round * 1_000_000
        new = [self._next(f"{self._prefix}-{partition}-{number}") for number in range(3)]
        if self._round % 5 == 0:
            self._sequence[new[0][0]] += 1  # one is missing, and comes late
            new.append((new[0][0], self._sequence[new[0][0]] + 1))
            self._sequence[new[0][0]] += 1
            new.append((new[0][0], self._sequence[new[0][0]] - 1))
        sent = self._sent[partition]
        again = [sent[int(self._rng.integers(len(sent)))] for _ in range(2)] if sent else []
        sent += new
        messages = [frame.encode(self._frame([*again, *new], city_us))]
        if self._round % 7 == 0:
            messages += [b"no packed frame", messages[0][:-3], messages[0]]
        if self._round % 3 == 0:
            messages.append(control.encode(Tick("ingest-1", 1, city_us, city_us)))
        return messages

    def _next(self, gateway: str) -> tuple[str, int]:
        self._sequence[gateway] = self._sequence.get(gateway, 2**40) + 1
        return gateway, self._sequence[gateway]

    def _frame(self, parts: list[tuple[str, int]], city_us: int) -> Frame:
        segments = np.zeros(len(parts) + 1, SEGMENT)
        records = np.concatenate([_records(*part, city_us) for part in [*parts, ("", self._round)]])
        gateways = sorted({gateway for gateway, _ in parts} | {f"{self._prefix}-unsequenced"})
        for at, (gateway, sequence) in enumerate(parts):
            segments[at] = (EPOCH, sequence, city_us, city_us, city_us - 1, at * POINTS, POINTS,
                            gateways.index(gateway), SegmentFlag.sequenced)  # fmt: skip
        segments[-1] = (0, 0, city_us, city_us, 0, len(parts) * POINTS, POINTS, len(gateways) - 1, 0)
        return Frame(segments, records, tuple(gateways), ("开", "关"))


def _records(gateway: str, sequence: int, city_us: int) -> np.ndarray:
    """What a gateway sends under a sequence is always the same."""
    rng = np.random.default_rng([len(gateway), *gateway.encode(), sequence % 2**32])
    records = np.zeros(POINTS, RECORD)
    records["time"] = NOW_US + sequence % 2**20 * 1_000_000 + np.arange(POINTS)
    records["sensor"] = rng.integers(1, 500, POINTS)
    records["value"] = rng.normal(10, 3, POINTS)
    records["quality"] = rng.choice([Quality.good, Quality.suspect, Quality.historical], POINTS)
    records["time"][0] -= int(rng.integers(8)) * YEAR_US
    records["flags"][-1], records["value"][-1] = Flag.text, sequence % 2
    return records


@asynccontextmanager
async def a_log(kafka: str, prefix: str) -> AsyncIterator[RecordLog]:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_request_size=MESSAGE_MAX_BYTES
    )
    await producer.start()
    yield RecordLog(producer, prefix)
    await producer.stop()


class Stored(NamedTuple):
    """Rows in the order of all their columns, texts likewise, and what was seen of each (gateway, epoch)."""

    rows: np.ndarray
    texts: list[tuple[int, int, str, int]]
    seen: dict[tuple[str, int], set[int]]


class SecondReader:
    """The whole log, kept, so that what should stand in PostgreSQL can be told for any offsets."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka

    async def read(self) -> dict[int, list[bytes]]:
        """Partition -> messages; their offsets are 0, 1, ..."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(READINGS.name, number) for number in range(PARTITIONS)]
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            log: dict[int, list[bytes]] = {partition.partition: [] for partition in partitions}
            while any(len(log[one.partition]) < end for one, end in ends.items()):
                for one, messages in (await consumer.getmany(timeout_ms=200)).items():
                    log[one.partition] += [message.value for message in messages]
            return log
        finally:
            await consumer.stop()


def should_stand(log: Mapping[int, list[bytes]], offsets: Mapping[int, int]) -> Stored:
    """Of the log up to these offsets."""
    pieces: list[np.ndarray] = [np.empty(0, ROW)]
    texts: list[tuple[int, int, str, int]] = []
    seen: dict[tuple[str, int], set[int]] = {}
    for partition, messages in log.items():
        for message in messages[: offsets.get(partition, 0)]:
            try:
                if frame.kind_of(message) is Kind.control:
                    continue
                packed = frame.decode(message)
            except FrameError:
                continue
            for at, segment in enumerate(packed.segments):
                key = (packed.gateway_of(at), int(segment["epoch"]))
                sequence = int(segment["sequence"])
                if segment["flags"] & SegmentFlag.sequenced:
                    if sequence in seen.setdefault(key, set()):
                        continue
                    seen[key].add(sequence)
                first, count = int(segment["first"]), int(segment["count"])
                records = packed.records[first : first + count]
                is_text = records["flags"] == Flag.text
                row = np.empty(int((~is_text).sum()), ROW)
                for column in ROW.names or ():
                    row[column] = records[column][~is_text]
                pieces.append(row)
                texts += [
                    (
                        int(one["time"]),
                        int(one["sensor"]),
                        packed.texts[int(one["value"])],
                        int(one["quality"]),
                    )
                    for one in records[is_text]
                ]
    return Stored(np.sort(np.concatenate(pieces)), sorted(texts), seen)


class Found(NamedTuple):
    """What one snapshot of PostgreSQL holds."""

    stored: Stored
    offsets: dict[int, int]


async def what_stands(dsn: str) -> Found:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("set transaction isolation level repeatable read")
        rows = await (
            await connection.execute(
                "select (extract(epoch from time) * 1000000)::bigint, sensor, value, quality from readings"
            )
        ).fetchall()
        texts = await (
            await connection.execute(
                "select (extract(epoch from time) * 1000000)::bigint, sensor, text, quality"
                " from reading_texts"
            )
        ).fetchall()
        marks = await (
            await connection.execute("select gateway, epoch, contiguous, ahead from record_marks")
        ).fetchall()
        offsets = await (
            await connection.execute(
                "select partition, next_offset from record_offsets where topic = %s", [READINGS.name]
            )
        ).fetchall()
    seen = {
        (gateway, int(epoch)): set(range(2**40 + 1, int(contiguous) + 1)) | {int(one) for one in ahead}
        for gateway, epoch, contiguous, ahead in marks
    }
    return Found(Stored(np.sort(np.array(rows, ROW)), sorted(texts), seen), dict(offsets))


async def assert_exact(log: Mapping[int, list[bytes]], found: Found) -> None:
    """Rows, texts and marks are those of the log up to the offsets that stand beside them."""
    expected = should_stand(log, found.offsets)
    np.testing.assert_array_equal(found.stored.rows, expected.rows)
    assert found.stored.texts == expected.texts
    assert found.stored.seen == expected.seen
