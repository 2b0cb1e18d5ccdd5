"""What the ingest tests share: a stack of their own, a gateway by hand, and a reader of what Kafka holds.

The stack is theirs because topics and the MQTT client id have fixed names, and because they stop its brokers.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import paho.mqtt.client as paho
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cityvigil import gateways
from cityvigil import stack as local
from cityvigil.stack import Stack
from ingest.service import Ingest
from schemas import control, frame, registry, reject, topics
from schemas.clock import CityClock
from schemas.control import Control, Marks
from schemas.frame import Frame, Kind
from schemas.reject import Reject
from tests.services import a_data_folder, create_topics

PARTITIONS = 2
WITHIN_S = 20.0

Payload = bytes | Sequence[Mapping[str, object]]


def now_us() -> int:
    return time.time_ns() // 1_000


@contextmanager
def a_stack() -> Iterator[Stack]:
    with a_data_folder() as data:
        stack = local.up(data, fsync=False)
        asyncio.run(
            create_topics(stack.kafka, {topic.name: topic.partitions or PARTITIONS for topic in topics.ALL})
        )
        yield stack


def an_ingest(stack: Stack, **different: Any) -> Ingest:
    arguments: dict[str, Any] = {
        "mqtt": stack.mqtt,
        "mqtt_user": stack.mqtt_user,
        "mqtt_password": stack.mqtt_password,
        "mqtt_log": stack.mqtt_log,
        "kafka": stack.kafka,
        "clock": CityClock(),
        "partitions": PARTITIONS,
        "data": stack.data,
        "now": now_us,
    }
    return Ingest(**(arguments | different))


@asynccontextmanager
async def running(ingest: Ingest) -> AsyncIterator[Ingest]:
    """Until the block ends; then stopped in order. What ended it before is raised."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(ingest.run(stop))
    try:
        await until(lambda: task.done() or ingest.not_ready() is None, "ingest is ready")
        if task.done():
            task.result()
        yield ingest
    finally:
        stop.set()
        await asyncio.wait_for(task, WITHIN_S)


async def until(true: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    """Waits for a condition; fails naming it."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for: {what}"
        await asyncio.sleep(0.02)


class AGateway:
    """A gateway by hand: publishes a frame, and finds the answers to it."""

    def __init__(self, stack: Stack, name: str, user: str | None = None, secret: str | None = None) -> None:
        self.name = name
        self.answers: list[tuple[str, bytes | None, dict[str, Any]]] = []
        self.refused = ""
        self.lost = False
        self._ready = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"c-{user or name}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(user or name, secret)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        host, _, port = stack.mqtt.rpartition(":")
        self._client.connect(host, int(port))
        self._client.loop_start()

    async def ready(self) -> AGateway:
        await until(lambda: self._ready or self.refused, "the gateway is connected")
        return self

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self,
        payload: Payload,
        sequence: int | None = None,
        epoch: int = 1,
        *,
        topic: str | None = None,
        correlation: bytes | None = None,
        response: str | None = None,
        published: str | None = None,
    ) -> bytes | None:
        """Its correlation data."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho does not type it
        if sequence is not None:
            correlation = struct.pack(">QQ", epoch, sequence)
        if correlation is not None:
            properties.CorrelationData = correlation
            properties.ResponseTopic = response or topics.ack_topic(self.name)
        if published is not None:
            properties.UserProperty = ("published", published)
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        self._client.publish(topic or topics.senml_topic(self.name), payload, 1, properties=properties)
        return correlation

    def answers_to(self, correlation: bytes | None) -> list[dict[str, Any]]:
        return [words for _, to, words in list(self.answers) if to == correlation]

    async def answer(self, correlation: bytes | None, count: int = 1) -> dict[str, Any]:
        """The `count`th answer to it."""
        await until(lambda: len(self.answers_to(correlation)) >= count, f"answer {count} to {correlation!r}")
        return self.answers_to(correlation)[count - 1]

    async def send(self, payload: Payload, sequence: int, **more: Any) -> dict[str, Any]:
        """Publishes a frame and waits for its next answer."""
        epoch = more.get("epoch", 1)
        before = len(self.answers_to(struct.pack(">QQ", epoch, sequence)))
        return await self.answer(self.publish(payload, sequence, **more), before + 1)

    def _on_connect(self, client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            self.refused = str(reason)
        else:
            client.subscribe(f"down/{self.name}/#", 1)

    def _on_disconnect(self, *_: Any) -> None:
        self.lost = True

    def _on_subscribe(self, *_: Any) -> None:
        self._ready = True

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        to = getattr(message.properties, "CorrelationData", None)
        self.answers.append((message.topic, to, json.loads(message.payload)))


def a_known_gateway(stack: Stack, name: str) -> AGateway:
    return AGateway(stack, name, secret=gateways.add(stack.data, name))


async def register(stack: Stack, entries: Sequence[registry.Entry], version: int) -> int:
    """Puts entries and their marker on the `sensors` topic; the marker's offset."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    await producer.start()
    try:
        for entry in [*entries, registry.Version(version)]:
            sent = await producer.send_and_wait(
                topics.SENSORS.name, registry.encode(entry), entry.key.encode(), 0
            )
        return int(sent.offset)
    finally:
        await producer.stop()


async def messages(stack: Stack, topic: str) -> list[tuple[int, bytes]]:
    """(partition, value) of everything in a topic now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.kafka,
        fetch_max_wait_ms=20,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in range(PARTITIONS if topic == "readings" else 1)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[tuple[int, bytes]] = []
        for partition, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(partition, timeout_ms=100)).values():
                    found += [(partition.partition, message.value) for message in batch]
        return found
    finally:
        await consumer.stop()


class ARow(dict[str, Any]):
    """One reading as it stands in the log."""


async def rows(stack: Stack, gateway: str) -> list[ARow]:
    """A gateway's readings in the order of the log, its empty segments as rows without a sensor."""
    found: list[ARow] = []
    for partition, packed in await frames(stack):
        for number, segment in enumerate(packed.segments):
            if packed.gateway_of(number) != gateway:
                continue
            common = {name: int(segment[name]) for name in segment.dtype.names} | {"partition": partition}
            first = int(segment["first"])
            part = packed.records[first : first + int(segment["count"])]
            if not len(part):
                found.append(ARow(common | {"sensor": None}))
            for record in part:
                mine = {name: record[name].item() for name in record.dtype.names if name != "flags"}
                flag = int(record["flags"])
                if flag & 1:
                    mine["value"] = packed.texts[int(mine["value"])]
                found.append(ARow(common | mine | {"flag": flag}))
    return found


async def frames(stack: Stack) -> list[tuple[int, Frame]]:
    everything = await messages(stack, topics.READINGS.name)
    return [(n, frame.decode(v)) for n, v in everything if frame.kind_of(v) is Kind.readings]


async def controls(stack: Stack) -> list[tuple[int, Control]]:
    everything = await messages(stack, topics.READINGS.name)
    return [(n, control.decode(v)) for n, v in everything if frame.kind_of(v) is Kind.control]


async def sent_again(stack: Stack, gateway: str) -> int:
    """How many of a gateway's frames ingest has said to have come again."""
    found = [one for _, one in await controls(stack) if isinstance(one, Marks)]
    return sum(one.again.get(gateway, 0) for one in found)


async def rejects(stack: Stack, source: str) -> list[Reject]:
    found = [reject.decode(value) for _, value in await messages(stack, topics.REJECTS.name)]
    return [one for one in found if one.source == source]


async def waiting_sensors(stack: Stack, gateway: str) -> dict[str, registry.Sensor]:
    entries = [registry.decode(value) for _, value in await messages(stack, topics.SENSORS.name)]
    return {
        entry.point: entry
        for entry in entries
        if isinstance(entry, registry.Sensor) and entry.gateway == gateway
    }
