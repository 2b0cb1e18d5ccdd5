"""The reference gateway against a real broker: only the platform's answer empties its outbox."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from schemas.clock import CityClock
from simulators.faults import FaultSpec
from simulators.gateway import Gateway
from simulators.outbox import Outbox
from simulators.outbox_file import OutboxFile
from simulators.scenario import Scenario
from simulators.service import Simulate
from tests.services import Mqtt

EPOCH = 77
WITHIN_S = 30.0


def _now() -> int:
    return time.time_ns() // 1_000


class Seen(NamedTuple):
    gateway: str
    epoch: int
    sequence: int
    payload: bytes
    published: int


Answers = Callable[[Seen], dict[str, Any] | None]


def stored(_: Seen) -> dict[str, Any]:
    return {"status": "stored"}


class Platform:
    """The other side: hears a test's gateways with the service's account, and answers as it is told."""

    def __init__(self, mqtt: Mqtt, topic: str) -> None:
        self._topic = topic
        self.seen: list[Seen] = []
        self.answers: Answers = stored
        self.subscribed = False
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"platform-{topic}", protocol=paho.MQTTv5
        )
        client.username_pw_set(mqtt.user, mqtt.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.connect(mqtt.host, mqtt.port)
        client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def sequences(self, gateway: str | None = None) -> list[int]:
        return [s.sequence for s in list(self.seen) if gateway in (None, s.gateway)]

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def _on_message(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        properties: Any = message.properties
        epoch, sequence = struct.unpack(">QQ", properties.CorrelationData)
        gateway = message.topic.split("/")[1]
        published = int(dict(properties.UserProperty)["published"])
        frame = Seen(gateway, epoch, sequence, bytes(message.payload), published)
        self.seen.append(frame)
        answer = self.answers(frame)
        assert properties.ResponseTopic == f"down/{gateway}/ack"
        if answer is not None:
            reply = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho does not type it
            reply.CorrelationData = properties.CorrelationData
            client.publish(properties.ResponseTopic, json.dumps(answer), qos=1, properties=reply)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


@pytest.fixture
def platform(mqtt: Mqtt, unique: str) -> Iterator[Platform]:
    made = Platform(mqtt, f"up/{unique}/senml")
    yield made
    made.close()


def _gateway(mqtt: Mqtt, name: str, secret: str, outbox: Outbox | None = None, epoch: int = EPOCH) -> Gateway:
    return Gateway(
        name,
        secret,
        mqtt.address,
        outbox=Outbox(random.Random(1)) if outbox is None else outbox,
        epoch=epoch,
        now=_now,
        rng=random.Random(2),
    )


@asynccontextmanager
async def running(gateway: Gateway, platform: Platform) -> AsyncIterator[Gateway]:
    await until(lambda: platform.subscribed)
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    try:
        await until(lambda: gateway.ready)
        yield gateway
    finally:
        stop.set()
        await task


async def test_frames_arrive_in_sequence_and_their_answers_empty_the_outbox(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    before = _now()
    async with running(_gateway(mqtt, unique, mqtt.add_gateway(unique)), platform) as gateway:
        for number in range(200):
            gateway.submit(b'[{"n":"p","v":%d}]' % number, readings=1)
        await asyncio.wait_for(gateway.emptied(), WITHIN_S)
    assert platform.sequences() == list(range(1, 201))
    assert [frame.payload for frame in platform.seen][:2] == [b'[{"n":"p","v":0}]', b'[{"n":"p","v":1}]']
    assert {frame.epoch for frame in platform.seen} == {EPOCH}
    assert all(before <= frame.published <= _now() for frame in platform.seen)
    counters = gateway.counters
    assert (counters.sent, counters.resent, counters.answered, counters.stored_readings) == (200, 0, 200, 200)


async def test_no_more_than_64_frames_wait_for_answers_on_the_wire(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    platform.answers = lambda _: None
    async with running(_gateway(mqtt, unique, mqtt.add_gateway(unique)), platform) as gateway:
        for _ in range(100):
            gateway.submit(b"[]", readings=0)
        await until(lambda: len(platform.seen) >= 64)
        assert gateway.counters.sent == 64
        assert len(gateway.outbox) == 100


async def test_what_was_not_answered_goes_out_again_after_the_line_was_cut(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    platform.answers = lambda frame: {"status": "stored"} if frame.sequence <= 2 else None
    async with running(_gateway(mqtt, unique, mqtt.add_gateway(unique)), platform) as gateway:
        for _ in range(5):
            gateway.submit(b"[]", readings=1)
        await until(lambda: len(platform.seen) == 5 and len(gateway.outbox) == 3)
        first = {frame.sequence: frame.published for frame in platform.seen}
        gateway.cut()
        await until(lambda: not gateway.ready)
        gateway.submit(b"[]", readings=1)
        platform.answers = stored
        gateway.mend()
        await asyncio.wait_for(gateway.emptied(), WITHIN_S)
        assert platform.sequences()[5:] == [3, 4, 5, 6]
        again = {frame.sequence: frame.published for frame in platform.seen[5:]}
        assert [again[n] for n in (3, 4, 5)] == [first[n] for n in (3, 4, 5)]
        assert gateway.counters.connects == 2


async def test_a_gap_is_filled_in_sequence_when_the_platform_asks(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    """The platform misses sequence 3 once, and asks for it at every frame that follows."""
    kept: list[int] = []

    def answers(frame: Seen) -> dict[str, Any] | None:
        missed_once = frame.sequence == 3 and platform.sequences().count(3) == 1
        if missed_once:
            return None
        if frame.sequence != len(kept) + 1:
            return {"status": "resend", "from": len(kept) + 1}
        kept.append(frame.sequence)
        return {"status": "stored"}

    platform.answers = answers
    async with running(_gateway(mqtt, unique, mqtt.add_gateway(unique)), platform) as gateway:
        for _ in range(30):
            gateway.submit(b"[]", readings=1)
        await asyncio.wait_for(gateway.emptied(), WITHIN_S)
    assert kept == list(range(1, 31))
    assert len(platform.seen) <= 30 + 28, "one round of resending, not one for each echo"


async def test_a_rejected_frame_is_dropped_and_its_readings_are_counted(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    def answers(frame: Seen) -> dict[str, Any]:
        if frame.sequence == 1:
            return {"status": "rejected", "reason": "syntax"}
        return {"status": "stored", "rejected": 2}

    platform.answers = answers
    async with running(_gateway(mqtt, unique, mqtt.add_gateway(unique)), platform) as gateway:
        gateway.submit(b"nonsense", readings=7)
        gateway.submit(b"[]", readings=10)
        await asyncio.wait_for(gateway.emptied(), WITHIN_S)
    counters = gateway.counters
    assert (counters.answered, counters.rejected) == (2, 1)
    assert (counters.stored_readings, counters.rejected_readings) == (8, 9)


async def test_a_gateway_that_is_refused_says_so_and_tries_again(
    mqtt: Mqtt, platform: Platform, unique: str
) -> None:
    gateway = _gateway(mqtt, unique, "wrong")
    gateway.submit(b"[]", readings=1)
    await until(lambda: platform.subscribed)
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    await until(lambda: "refused" in str(gateway.why))
    assert not gateway.ready
    gateway.secret = mqtt.add_gateway(unique)
    await asyncio.wait_for(gateway.emptied(), WITHIN_S)
    stop.set()
    await task
    assert platform.sequences() == [1]


async def test_an_outbox_on_disk_delivers_after_a_restart_what_the_run_before_could_not(
    mqtt: Mqtt, platform: Platform, unique: str, tmp_path: Path
) -> None:
    secret = mqtt.add_gateway(unique)
    file = OutboxFile(tmp_path / unique, new_epoch=EPOCH)
    before = _gateway(mqtt, unique, secret, Outbox(random.Random(1), store=file), file.epoch)
    before.submit(b'["kept"]', readings=1)
    file.close()

    file = OutboxFile(tmp_path / unique, new_epoch=EPOCH + 1)
    outbox = Outbox(random.Random(1), next_sequence=file.next_sequence, kept=file.kept, store=file)
    async with running(_gateway(mqtt, unique, secret, outbox, file.epoch), platform) as gateway:
        gateway.submit(b'["new"]', readings=1)
        await asyncio.wait_for(gateway.emptied(), WITHIN_S)
    file.close()
    assert [(s.epoch, s.sequence, s.payload) for s in platform.seen] == [
        (EPOCH, 1, b'["kept"]'), (EPOCH, 2, b'["new"]')]  # fmt: skip


async def test_a_city_publishes_in_time_cuts_a_gateway_off_and_loses_nothing(
    mqtt: Mqtt, tmp_path: Path
) -> None:
    offline = FaultSpec("gateway-offline", "shinan-01", 0.5, 1.0, 0.0, 3, "device-maintenance")
    scenario = Scenario("small", 3, 600.0, 2, 0.1, (offline,))
    city = scenario.city()
    start = _now()
    simulate = Simulate(
        mqtt=mqtt.address,
        credentials={g.gateway: mqtt.add_gateway(g.gateway, g.zone) for g in city.gateways},
        scenario=scenario,
        clock=CityClock(1_790_000_000_000_000, start, 600.0),
        now=_now,
        truth_file=tmp_path / "truth.jsonl",
    )
    platform = Platform(mqtt, "up/+/senml")
    ours = {g.gateway for g in city.gateways}
    platform.answers = lambda frame: {"status": "stored"} if frame.gateway in ours else None
    stop = asyncio.Event()
    try:
        await until(lambda: platform.subscribed)
        assert simulate.not_ready() == f"{len(ours)} of {len(ours)} gateways are not connected: " \
            f"{city.gateways[0].gateway}: not connected yet"  # fmt: skip
        task = asyncio.create_task(simulate.run(stop))
        (cut,) = [g for g in simulate.gateways if f"gateway/{g.gateway}" in await _subjects(simulate)]
        await until(lambda: not cut.ready)
        heard = len(platform.sequences(cut.gateway))
        await until(lambda: cut.ready and len(platform.sequences(cut.gateway)) > heard)
        await until(lambda: not len(cut.outbox))
        assert simulate.not_ready() is None
        stop.set()
        await asyncio.wait_for(task, WITHIN_S)
    finally:
        platform.close()
    report = simulate.report()
    assert [row["kind"] for row in report["faults"]] == ["gateway-offline"]
    assert report["totals"]["answered"] == report["totals"]["sent"] > 100
    assert report["totals"]["strange"] == 0
    for gateway in simulate.gateways:
        sequences = platform.sequences(gateway.gateway)
        assert sorted(set(sequences)) == list(range(1, len(set(sequences)) + 1))
    readings = sum(len(json.loads(s.payload)) for s in {(s.gateway, s.sequence): s for s in platform.seen
                                                         if s.gateway in ours}.values())  # fmt: skip
    assert report["totals"]["stored_readings"] == readings


async def _subjects(simulate: Simulate) -> list[str]:
    await until(lambda: simulate.report()["planned"])
    return [str(s) for s in simulate.report()["planned"][0]["subjects"]]
