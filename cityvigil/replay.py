"""Sends a file's readings through the whole real path, as a gateway would, and waits until they are through.

Beside a running stack it first registers what is missing: the zone, the gateway with its credential, the
mapped points. It is done when detect and the historian have passed the file's last frame; what came of it is
then read where anyone could read it: the `alerts` topic and the cases.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cityvigil import compacted, gateways
from cityvigil.errors import CannotRun
from cityvigil.registry_topic import import_registry, read_registry
from cityvigil.replay_csv import Table
from cityvigil.sensor_files import GatewayRow, SensorRow, guessed_zone
from cityvigil.stack import Stack
from cityvigil.wiring import now_us
from schemas import alert, control, frame
from schemas.registry import Registry
from schemas.topics import ALERTS, DETECT_GROUP, MESSAGE_MAX_BYTES, READINGS, Topic
from simulators import senml
from simulators.gateway import Gateway
from simulators.outbox import Outbox

FRAME_READINGS = 500
ANSWER_WITHIN_S = 60.0
PASS_WITHIN_S = 120.0
CASES_WITHIN_S = 15.0
LOOK_S = 0.1
QUIET_S = 7 * 86_400.0
"""A replayed gateway is quiet whenever nobody replays; that is no blind area."""
DEFAULT_ZONE = "replay-01"

_T = TypeVar("_T")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What to replay, as whom. `categories` maps columns to catalogue keys; no `speed`: as fast as answers
    allow, else so many times faster than the file's own time."""

    table: Table
    gateway: str
    zone: str | None
    categories: Mapping[str, str]
    secret_file: Path | None
    speed: float | None


class Sent(NamedTuple):
    """In readings."""

    sent: int
    acked: int
    rejected: int


async def replay(order: Order, stack: Stack, progress: Progress) -> dict[str, int]:
    """`{"sent","acked","rejected","alerts","cases"}`. Raises CannotRun."""
    partition = await _register(order, stack)
    secret = secret_of(order, stack.data)
    before = await _ends(stack.kafka, ALERTS)
    sent = await _send(order, stack.mqtt, secret, progress)
    last = (await _ends(stack.kafka, READINGS))[partition]
    progress("waiting for detect and record to pass the last frame")
    await _passed(stack, partition, last)
    raised = await _raised(stack.kafka, order.gateway, before)
    return {**sent._asdict(), "alerts": len(raised), "cases": await _cases(stack.postgres, raised)}


async def _register(order: Order, stack: Stack) -> int:
    """Registers what is missing and waits until ingest knows it; the gateway's partition."""
    registry = await read_registry(stack.kafka)
    known = registry.gateways.get(order.gateway)
    zone = known.zone if known else order.zone or DEFAULT_ZONE
    if known and order.zone not in (None, known.zone):
        raise CannotRun(f"gateway {order.gateway} stands in zone {known.zone}, not in {order.zone}")
    zones = [] if zone in registry.zones else [guessed_zone(zone)]
    own = [] if known else [GatewayRow(0, order.gateway, zone, QUIET_S, QUIET_S)]
    sensors = [_sensor(order, registry, zone, column) for column in order.categories]
    before = await _ends(stack.kafka, READINGS)
    version = await import_registry(
        stack.kafka, zones, own, sensors, len(before), f"replay of {Path(order.table.file).name}"
    )
    partition = (await read_registry(stack.kafka)).partition_of(order.gateway)
    if version != registry.version:
        await _within(
            ANSWER_WITHIN_S,
            _adopted(stack.kafka, partition, before[partition], version),
            "ingest did not take the new registry: is it running?",
        )
    return partition


def _sensor(order: Order, registry: Registry, zone: str, column: str) -> SensorRow:
    known = registry.sensors.get((order.gateway, column))
    params = {**(known.params if known else {}), "interval_s": order.table.step_s}
    return SensorRow(0, order.gateway, column, category=order.categories[column], zone=zone, params=params)


def secret_of(order: Order, data: Path) -> str:
    """The gateway's secret: from the file named, or kept from an earlier replay, or made now and kept."""
    kept = order.secret_file or data / "replay-secrets" / order.gateway
    if kept.exists():
        text = kept.read_text(encoding="utf-8").strip()
        return str(json.loads(text)["secret"]) if text.startswith("{") else text
    if any(one.gateway == order.gateway for one in gateways.list_all(data)):
        raise CannotRun(
            f"gateway {order.gateway} has a secret that is not known here: give it with --secret-file,"
            f" or make a new one with `cityvigil gateways rotate {order.gateway}`"
        )
    secret = gateways.add(data, order.gateway, order.zone or DEFAULT_ZONE)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(secret + "\n")
    return secret


async def _send(order: Order, mqtt: str, secret: str, progress: Progress) -> Sent:
    gateway = Gateway(
        order.gateway,
        secret,
        mqtt,
        outbox=Outbox(random.Random()),
        epoch=now_us(),
        now=now_us,
        rng=random.Random(),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(gateway.run(stop))
    total = order.table.readings
    try:
        begun = time.monotonic()
        for first, last in _frames(order):
            if order.speed is not None:
                ahead_s = (order.table.times_us[first] - order.table.times_us[0]) / 1e6 / order.speed
                await asyncio.sleep(max(0.0, ahead_s - (time.monotonic() - begun)))
            readings = _readings(order.table, first, last)
            if readings:
                await _answered(gateway, gateway.room())
                gateway.submit(senml.encode_history(readings), len(readings))
            progress(f"{gateway.counters.sent_readings} of {total} readings sent")
        await _answered(gateway, gateway.emptied())
    finally:
        stop.set()
        await running
    counters = gateway.counters
    return Sent(counters.sent_readings, counters.stored_readings, counters.rejected_readings)


async def _answered(gateway: Gateway, waiting: Awaitable[None]) -> None:
    """Waits as long as answers come."""
    work = asyncio.ensure_future(waiting)
    answered = -1
    while not work.done():
        if gateway.counters.answered == answered:
            work.cancel()
            why = gateway.why or "connected, but ingest does not answer: is it running?"
            raise CannotRun(f"gateway {gateway.gateway}: no answer for {ANSWER_WITHIN_S:.0f} s: {why}")
        answered = gateway.counters.answered
        await asyncio.wait({work}, timeout=ANSWER_WITHIN_S)


def _frames(order: Order) -> list[tuple[int, int]]:
    """Rows from, to. At a speed of its own a frame is one moment; else as full as it may be."""
    rows = len(order.table.times_us)
    step = 1 if order.speed is not None else max(1, FRAME_READINGS // max(1, len(order.table.points)))
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def _readings(table: Table, first: int, last: int) -> list[tuple[int, str, float]]:
    times, values = table.times_us[first:last].tolist(), table.values[first:last].tolist()
    return [
        (time_us, point, value)
        for time_us, row in zip(times, values, strict=True)
        for point, value in zip(table.points, row, strict=True)
        if value == value  # NaN: the cell says nothing
    ]


async def _adopted(kafka: str, partition: int, start: int, version: int) -> None:
    """Returns when the log says that this registry, or a newer one, is in force."""
    async with _consumer(kafka) as consumer:
        at = TopicPartition(READINGS.name, partition)
        consumer.assign([at])
        consumer.seek(at, start)
        while True:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    if frame.kind_of(message.value) is not frame.Kind.control:
                        continue
                    found = control.decode(message.value)
                    if isinstance(found, control.RegistryVersion) and found.version >= version:
                        return


async def _passed(stack: Stack, partition: int, end: int) -> None:
    async def record() -> None:
        async with await psycopg.AsyncConnection.connect(stack.postgres, autocommit=True) as connection:
            while True:
                found = await connection.execute(
                    "select next_offset from record_offsets where topic = %s and partition = %s",
                    [READINGS.name, partition],
                )
                row = await found.fetchone()
                if row and row[0] >= end:
                    return
                await asyncio.sleep(LOOK_S)

    async def detect() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
        await admin.start()
        try:
            at = TopicPartition(READINGS.name, partition)
            while True:
                found = await admin.list_consumer_group_offsets(DETECT_GROUP, partitions=[at])
                if at in found and found[at].offset >= end:
                    return
                await asyncio.sleep(LOOK_S)
        finally:
            await admin.close()

    late = f"did not pass the last frame within {PASS_WITHIN_S:.0f} s: is it running?"
    await asyncio.gather(
        _within(PASS_WITHIN_S, record(), f"record {late}"),
        _within(PASS_WITHIN_S, detect(), f"detect {late}"),
    )


async def _raised(kafka: str, gateway: str, before: Mapping[int, int]) -> list[str]:
    """The alerts about this gateway and its sensors that were raised since `before`."""
    ends = await _ends(kafka, ALERTS)
    behind = {TopicPartition(ALERTS.name, n): end for n, end in ends.items() if end > before.get(n, 0)}
    if not behind:
        return []
    found: dict[str, None] = {}
    async with _consumer(kafka) as consumer:
        consumer.assign(list(behind))
        for at in behind:
            consumer.seek(at, before.get(at.partition, 0))
        while any([await consumer.position(at) < end for at, end in behind.items()]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    one = alert.decode(message.value)
                    ours = one.subject == f"gateway/{gateway}" or one.subject.startswith(f"sensor/{gateway}/")
                    if ours and one.change == "raise":
                        found[one.alert_id] = None
    return list(found)


async def _cases(postgres: str, alerts: Sequence[str]) -> int:
    """Cases that hold these alerts. Dispatch is not part of the promise: it is waited for only a little."""
    deadline = time.monotonic() + CASES_WITHIN_S
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "select count(*), count(distinct case_id) from alerts where alert_id = any(%s)",
                [list(alerts)],
            )
            row: tuple[Any, ...] = await found.fetchone() or (0, 0)
            if row[0] >= len(alerts) or time.monotonic() > deadline:
                return int(row[1])
            await asyncio.sleep(LOOK_S)


async def _ends(kafka: str, topic: Topic) -> dict[int, int]:
    """Partition -> the offset that its next message will have."""
    partitions = await compacted.partitions_of(kafka, topic)
    if not partitions:
        raise CannotRun(f"Kafka at {kafka} has no topic {topic.name}: `cityvigil migrate` makes it")
    async with _consumer(kafka) as consumer:
        ends = await consumer.end_offsets([TopicPartition(topic.name, n) for n in range(partitions)])
        return {at.partition: end for at, end in ends.items()}


@asynccontextmanager
async def _consumer(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _within(seconds: float, work: Awaitable[_T], complaint: str) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise CannotRun(complaint) from None
