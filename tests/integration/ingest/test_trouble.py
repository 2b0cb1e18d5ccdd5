"""What can be wrong with input and with the brokers: counted by gateway, nothing lost, nothing stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from functools import partial

import pytest
from psycopg_pool import AsyncConnectionPool

from cityvigil import gateways, trust
from cityvigil import stack as local
from cityvigil.guarding import Guarding
from cityvigil.stack import Stack
from ingest import service
from schemas.reading import Quality
from schemas.registry import Gateway, Sensor, Zone
from schemas.reject import Reject
from schemas.sequence import Mark, Seen, observe
from tests.integration.ingest_bench import (
    PARTITIONS,
    AGateway,
    Payload,
    a_known_gateway,
    an_ingest,
    now_us,
    register,
    rejects,
    rows,
    running,
    until,
)

pytestmark = pytest.mark.integration

MINUTE_S = 60.0
YEAR_S = 365 * 86_400.0


async def rejected(stack: Stack, source: str, count: int = 1) -> list[Reject]:
    """Waits until so many readings of a source are counted."""
    while True:
        found = await rejects(stack, source)
        if sum(one.count for one in found) >= count:
            return found
        await asyncio.sleep(0.1)


async def test_whatever_a_gateway_sends_is_answered_and_counted_and_the_next_frame_is_stored(
    stack: Stack, gateway: AGateway
) -> None:
    name = gateway.name
    zone = Zone("north-01", "north", "北一", "North 1", partition=1)
    await register(
        stack,
        [zone, Gateway(name, "north-01"), Sensor(3, name, "p", "water_main_pressure", "MPa", "north-01")],
        version=1,
    )
    now_s = now_us() / 1e6
    many: Payload = [{"n": f"m{i}", "v": i} if i != 77 else {"n": "m77"} for i in range(500)]
    wrong: list[tuple[Payload, dict[str, object]]] = [
        (b'[{"n":"p","v":0.3},{"n":"p","v', {"status": "rejected", "reason": "truncated", "rejected": 2}),
        ([{"n": "p", "u": "kg", "v": 1}], {"status": "rejected", "reason": "unit", "rejected": 1}),
        (b'[{"n":"p","v":NaN}]', {"status": "rejected", "reason": "syntax", "rejected": 1}),
        ([{"n": "p", "t": 9e8, "v": 1}], {"status": "rejected", "reason": "range", "rejected": 1}),
        ([{"n": "p", "t": now_s + 10 * MINUTE_S, "v": 0.1}], {"status": "stored"}),
        (
            [{"n": "p", "t": now_s + 10 * YEAR_S, "v": 1}],
            {"status": "rejected", "reason": "range", "rejected": 1},
        ),
        (many, {"status": "stored", "reason": "syntax", "rejected": 1}),
        (b"\x00\xff", {"status": "rejected", "reason": "syntax", "rejected": 1}),
        ([{"n": "p", "u": "kPa", "v": 250}], {"status": "stored"}),
    ]
    async with running(an_ingest(stack)):
        for sequence, (payload, answer) in enumerate(wrong, 1):
            assert await gateway.send(payload, sequence) == answer
        unknown = gateway.publish(b"[]", topic=f"up/{name}/telegram", correlation=b"x")
        assert (await gateway.answer(unknown))["reason"] == "unsupported"
        found = await rejected(stack, name, 8)
    assert [(one.reason, one.count, one.point) for one in found] == [
        ("truncated", 2, None),
        ("unit", 1, "p"),
        ("syntax", 1, None),
        ("range", 1, "p"),
        ("range", 1, "p"),
        ("syntax", 1, "m77"),
        ("syntax", 1, None),
        ("unsupported", 1, None),
    ]
    assert found[0].raw == wrong[0][0]
    assert found[1].correlation == f"{name}/1/2"
    assert json.loads(found[5].raw) == [{"n": "m77"}]
    stored = [row for row in await rows(stack, name) if row["sensor"] == 3]
    assert [(row["value"], row["quality"]) for row in stored] == [
        (0.1, Quality.suspect),
        (0.25, Quality.good),
    ]
    sequences = [row["sequence"] for row in await rows(stack, name)]
    assert sorted(set(sequences)) == list(range(1, 10)), "a rejected frame leaves no hole in the sequence"


async def test_what_the_broker_refuses_is_counted_by_gateway(
    stack: Stack, gateway: AGateway, unique: str
) -> None:
    async with running(an_ingest(stack)):
        gateway.publish([{"n": "p", "v": 1}], 1, topic="up/another/senml")
        await rejected(stack, unique)
        big = a_known_gateway(stack, f"{unique}-big")
        await big.ready()
        big.publish(b"x" * 20_000_000, 1)
        await until(lambda: big.lost, "the broker cut it off")
        big.close()
        stranger = AGateway(stack, f"{unique}-stranger", secret="any")
        wrong = AGateway(stack, unique, f"{unique}", "wrong password")
        await stranger.ready()
        await wrong.ready()
        assert (stranger.refused, wrong.refused) == ("Not authorized", "Not authorized")
        stranger.close()
        wrong.close()
        # The one that publishes as another has a wrong password too, in its second life.
        assert {one.reason for one in await rejected(stack, unique, 2)} == {"topic", "credentials"}
        assert {one.reason for one in await rejected(stack, f"{unique}-big")} == {"oversize"}
        assert {one.reason for one in await rejected(stack, f"{unique}-stranger")} == {"credentials"}
        assert (await gateway.send([{"n": "p", "v": 1}], 1))["status"] == "stored"
    count = sum(one.count for one in await rejects(stack, unique))
    async with running(an_ingest(stack)):
        gateway.publish([{"n": "p", "v": 1}], 1, topic="up/another/senml")
        again = await rejected(stack, unique, count + 1)
        assert sum(one.count for one in again) == count + 1, "the log is not read twice"


def published_raw(stack: Stack, name: str, secret: str, packet: bytes) -> None:
    """A PUBLISH that no library would write."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    host, _, port = stack.mqtt.rpartition(":")
    hello = text("MQTT") + b"\5\xc2\0\x3c\0" + text(f"raw-{name}") + text(name) + text(secret)
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(bytes([0x10, len(hello)]) + hello)
        connection.recv(64)
        body = text(f"up/{name}/senml") + b"\0\1" + packet
        connection.sendall(bytes([0x32, len(body)]) + body)
        connection.recv(64)


async def test_a_message_whose_properties_are_no_mqtt_is_refused_and_does_not_come_again(
    stack: Stack, gateway: AGateway
) -> None:
    other = f"{gateway.name}-odd"
    secret = gateways.add(stack.data, other)
    async with running(an_ingest(stack)):
        await asyncio.to_thread(published_raw, stack, other, secret, b"\2\1\7" + b'[{"n":"p","v":1}]')
        found = await rejected(stack, other)
        assert (await gateway.send([{"n": "p", "v": 1}], 1))["status"] == "stored"
    async with running(an_ingest(stack)):
        assert (await gateway.send([{"n": "p", "v": 2}], 2))["status"] == "stored"
    assert await rejects(stack, other) == found
    assert (found[0].reason, found[0].raw[:3]) == ("syntax", b"\2\1\7")


async def test_a_gateway_with_everything_wrong_costs_a_few_records(stack: Stack, gateway: AGateway) -> None:
    async with running(an_ingest(stack)):
        answer = await gateway.send([{"n": f"p{i}"} for i in range(3_000)], 1)
        assert answer == {"status": "rejected", "reason": "syntax", "rejected": 3_000}
        found = await rejected(stack, gateway.name, 3_000)
    assert sum(one.count for one in found) == 3_000
    assert len(found) < 30


async def test_the_broker_is_killed_and_returns(stack: Stack, gateway: AGateway) -> None:
    ingest = an_ingest(stack)
    async with running(ingest):
        assert (await gateway.send([{"n": "p", "v": 1}], 1))["status"] == "stored"
        await asyncio.to_thread(local.restart, stack.data, "mosquitto")
        await until(lambda: gateway.lost, "the gateway lost its connection")
        await until(lambda: ingest.not_ready() is None, "ingest is subscribed again")
        gateway.close()
        again = AGateway(stack, gateway.name, secret=gateways.rotate(stack.data, gateway.name))
        await again.ready()
        assert (await again.send([{"n": "p", "v": 2}], 2))["status"] == "stored"
        again.close()
    assert [row["value"] for row in await rows(stack, gateway.name)] == [1, 2]


async def test_kafka_goes_and_returns_and_nothing_is_lost(
    stack: Stack, gateway: AGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FULL_BYTES", 40_000)
    ingest = an_ingest(stack)
    frame: Payload = [{"n": f"p{i}", "v": i} for i in range(100)]
    async with running(ingest):
        assert (await gateway.send(frame, 1))["status"] == "stored"
        await asyncio.to_thread(local.kill, stack.data, "kafka")
        waiting = [gateway.publish(frame, sequence) for sequence in range(2, 62)]
        await until(lambda: ingest.not_ready() is not None, "ingest says that Kafka is away")
        assert "Kafka" in (ingest.not_ready() or "")
        assert not any(gateway.answers_to(one) for one in waiting)
        await asyncio.to_thread(local.up, stack.data, fsync=False)
        for one in waiting:
            assert (await gateway.answer(one))["status"] in ("stored", "duplicate")
        await until(lambda: ingest.not_ready() is None, "ingest is ready again")
    assert once(await sequences(stack, gateway.name)) == list(range(1, 62))


async def sequences(stack: Stack, gateway: str) -> list[int]:
    """Of a gateway's frames, in the order of the log, repeats included."""
    found: list[int] = []
    for row in await rows(stack, gateway):
        if not found or row["sequence"] != found[-1]:
            found.append(row["sequence"])
    return found


def once(found: list[int]) -> list[int]:
    """What a reader of the log keeps by the rule against duplicates."""
    mark: Mark | None = None
    kept = []
    for sequence in found:
        mark, seen = observe(mark, sequence)
        if seen is not Seen.duplicate:
            kept.append(sequence)
    return kept


async def test_ingest_is_killed_again_and_again_and_every_frame_is_in_the_log_once(
    stack: Stack, gateway: AGateway
) -> None:
    environment = os.environ | local.environment(stack) | {"CITYVIGIL_PARTITIONS": "2"}
    command = [sys.executable, "-m", "cityvigil", "ingest"]
    last = 240

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def answered() -> set[int]:
        words = [(to, said) for _, to, said in list(gateway.answers) if to is not None]
        return {int.from_bytes(to[8:], "big") for to, said in words if said["status"] != "resend"}

    def is_answered(sequence: int) -> bool:
        return sequence in answered()

    process = start()
    try:
        for kills in range(4):
            goal = last * (kills + 1) // 4
            while len(answered()) < goal:
                oldest = min(set(range(1, last + 1)) - answered(), default=last)
                for sequence in range(oldest, min(oldest + 30, last + 1)):
                    gateway.publish([{"n": "p", "v": sequence}], sequence)
                if kills < 3 and len(answered()) >= goal - 40:
                    break
                await until(partial(is_answered, oldest), f"answer to {oldest}", 30)
            if kills < 3:
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = start()
        await until(lambda: len(answered()) == last, "all are answered", 30)
    finally:
        process.terminate()
        assert process.wait(20) == 0, "told to stop, it ends in order"
    found = await sequences(stack, gateway.name)
    assert once(found) == list(range(1, last + 1))


async def test_on_a_full_disk_nothing_is_answered_and_nothing_lost_when_there_is_room_again(
    stack: Stack, gateway: AGateway
) -> None:
    """A test cannot fill a disk everywhere it runs, so it says what the disk says (bench/full_disk.py fills
    one); all else is real."""
    share = 0.5

    def an_ingest_on_it() -> service.Ingest:
        return an_ingest(stack, disk_used=lambda: share, disk_limit=0.8)

    def is_closed(ingest: service.Ingest) -> bool:
        return "disk" in (ingest.not_ready() or "")

    pool, guarding = AsyncConnectionPool(open=False), Guarding(lambda: None)
    async with running(an_ingest_on_it()) as ingest:
        assert await gateway.send([{"n": "p", "v": 1}], 1) == {"status": "stored"}
        share = 0.9
        await until(lambda: is_closed(ingest), "the disk is full")
        asked = [gateway.publish([{"n": "p", "v": n}], n) for n in range(2, 30)]
        plain = [{"n": "q", "t": now_us() / 1e6, "v": 7}]
        gateway.publish(plain)
        async with trust.opened(stack.kafka, pool, PARTITIONS, now_us, guarding) as duty:
            while (await duty.stream())["held"] != "disk":  # what the duty screen shows
                await asyncio.sleep(0.05)
    stop = asyncio.Event()
    again = an_ingest_on_it()
    task = asyncio.create_task(again.run(stop))
    await until(lambda: is_closed(again), "an ingest that starts on a full disk")
    assert [len(gateway.answers_to(one)) for one in asked] == [0] * len(asked)
    assert len(await rows(stack, gateway.name)) == 1
    share = 0.7
    for one in asked:
        assert await gateway.answer(one) == {"status": "stored"}
    await until(lambda: again.not_ready() is None, "it is ready again")
    async with trust.opened(stack.kafka, pool, PARTITIONS, now_us, guarding) as duty:
        while (await duty.stream())["held"] is not None:
            await asyncio.sleep(0.05)
    while len(found := await rows(stack, gateway.name)) < 30:
        await asyncio.sleep(0.1)
    stop.set()
    await task
    assert sorted(row["sequence"] for row in found) == [0, *range(1, 30)]
    assert [row["value"] for row in found if row["sequence"]] == list(range(1, 30))
